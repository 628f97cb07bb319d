/* SPDX-License-Identifier: MIT */
/* Receivers that note which datagrams came, in which order, while the test goes on. */
#ifndef MCTX_TESTS_RECORDER_H
#define MCTX_TESTS_RECORDER_H

#include <pthread.h>

#include "host/host.h"

enum { RECORDED = 1 << 14 };

typedef struct recorder {
  int receiver;
  size_t length; /* of every datagram */
  pthread_t thread;
  _Atomic bool finishing;
  int quiet_ms;
  uint32_t dropped; /* by the receiver's own socket */
  uint32_t damaged;
  _Atomic uint32_t count;
  uint32_t numbers[RECORDED];
} recorder;

/* A payload that says its number, and whose every byte depends on it. */
void numbered(unsigned char *payload, size_t length, uint32_t number);
/* So many of them from the first on, one behind the other. */
void numbered_slices(mctx_slice *slices, void *payloads, size_t length, uint32_t first, uint32_t count);

/* Takes the receiver. `length` of every datagram. */
recorder *recorder_start(int receiver, size_t length);
/* Waits until so many came, for some seconds at most, and then until nothing came for so long: what is expected
 * may be held up longer than that. Free the recorder afterwards. */
void recorder_finish(recorder *record, uint64_t expected, int quiet_ms);

/* What came is exactly 0, 1, ... count - 1, whole. */
void assert_prefix(const recorder *record, uint64_t count);
/* What came is in order, nothing twice, whole. */
void assert_rising(const recorder *record);

#endif
