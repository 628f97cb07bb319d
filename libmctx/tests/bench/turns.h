/* SPDX-License-Identifier: MIT */
/* Measures several things in turns, so that what disturbs one of them disturbs all. */
#ifndef TURNS_H
#define TURNS_H

#include <stdint.h>

/* One thing that is measured. */
typedef struct column {
  char name[96];
  /* Does it once, and says how many nanoseconds a datagram took; 0, or 1 after having said why not. */
  int (*measure)(const struct column *own, double *ns);
  const void *way;
  void *subject;
  uint32_t calls; /* for the way: how often in a turn */
} column;

/* The processor's time of this thread: what other programs do in between does not count. */
double turns_now_ns(void);

/* Prints the names, then a line of nanoseconds for each round, with tabs between; in each round the columns
 * come in another order. 0, or 1 if a column failed. */
int turns_run(const column *columns, uint32_t count, uint32_t rounds);

#endif
