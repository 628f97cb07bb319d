/* SPDX-License-Identifier: MIT */
/*
 * Sends at a rate, and says when each datagram came:
 *
 *   pacing GROUP INTERFACE WAY datagrams|bits RATE SIZE COUNT
 *
 * WAY is who holds to the rate, and how:
 *
 *   batch    mctx_send_batch() of all datagrams, which waits
 *   single   mctx_send(), and a sleep as long as it says
 *   kernel   the kernel; mctx_send_batch() waits for room only
 *   plain    send(), and a sleep until each datagram's time
 *
 * Prints how many nanoseconds it took, of the clock and of the processor, and then the time of receipt of each
 * datagram in nanoseconds, as the kernel took it. Ends with 1 and a reason if one was lost.
 */
#include <errno.h>
#include <mctx.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "datagrams.h"
#include "listener.h"
#include "turns.h"

enum { PORT = 5000, SECOND = 1000000000 };

typedef struct pacing {
  mctx_error error;
  mctx_publication publication;
  int descriptor;
  int64_t gap_ns; /* between two datagrams */
  datagrams sent;
} pacing;

static int64_t clock_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (int64_t)time.tv_sec * SECOND + time.tv_nsec;
}

static void sleep_until(int64_t ns) {
  const struct timespec until = {.tv_sec = ns / SECOND, .tv_nsec = ns % SECOND};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL) == EINTR)
    ;
}

/* ---- the ways: each sends all datagrams; 0, or 1 ---- */

static int send_batch(pacing *own) {
  uint64_t accepted;
  return mctx_send_batch(own->publication, own->sent.slices[CONTIGUOUS], own->sent.batch, 0, -1, &accepted,
                         &own->error) != MCTX_OK;
}

static int send_single(pacing *own) {
  for (uint32_t i = 0; i < own->sent.batch;) {
    const mctx_slice *each = &own->sent.slices[CONTIGUOUS][i];
    const mctx_status status = mctx_send(own->publication, each->data, each->length, &own->error);
    if (status == MCTX_OK)
      i++;
    else if (status == MCTX_ERR_PACED)
      sleep_until(clock_ns() + (int64_t)own->error.value);
    else
      return 1;
  }
  return 0;
}

static int send_plain(pacing *own) {
  const int64_t start = clock_ns();
  for (uint32_t i = 0; i < own->sent.batch; i++) {
    const mctx_slice *each = &own->sent.slices[CONTIGUOUS][i];
    const int64_t due = start + (int64_t)i * own->gap_ns;
    if (clock_ns() < due) sleep_until(due);
    if (send(own->descriptor, each->data, each->length, MSG_NOSIGNAL) < 0) return 1;
  }
  return 0;
}

/* ---- opening ---- */

static int open_publication(pacing *own, char **arguments, mctx_address *group) {
  mctx_context context;
  mctx_publication_options options;
  mctx_os_handle native;
  const bool is_plain = strcmp(arguments[3], "plain") == 0;
  const int64_t rate = strtoll(arguments[5], NULL, 10);
  mctx_publication_options_init(&options, sizeof options);
  options.port = PORT;
  options.outgoing_interface.by = MCTX_INTERFACE_BY_NAME;
  options.outgoing_interface.name = arguments[2];
  options.pacing_unit = strcmp(arguments[4], "bits") == 0 ? MCTX_PACING_BITS : MCTX_PACING_DATAGRAMS;
  options.pacing_rate = is_plain ? 0 : rate;
  if (!is_plain)
    options.pacing_by = strcmp(arguments[3], "kernel") == 0 ? MCTX_PACING_KERNEL : MCTX_PACING_LIBRARY;
  own->gap_ns = SECOND * (options.pacing_unit == MCTX_PACING_BITS ? 8 * atoll(arguments[6]) : 1) / rate;
  if (mctx_address_parse(arguments[1], group, &own->error) != MCTX_OK ||
      mctx_context_open(NULL, &context, &own->error) != MCTX_OK)
    return 1;
  options.group = *group;
  if (mctx_publication_open(context, &options, &own->publication, &own->error) != MCTX_OK ||
      mctx_pollable(own->publication, &native, &own->error) != MCTX_OK)
    return 1;
  own->descriptor = (int)native.value;
  return 0;
}

/* ---- when it came ---- */

static int print_times(int listener, uint32_t count) {
  for (uint32_t i = 0; i < count; i++) {
    _Alignas(struct cmsghdr) unsigned char control[128];
    struct timespec time;
    struct msghdr header = {.msg_control = control, .msg_controllen = sizeof control};
    const struct cmsghdr *told = recvmsg(listener, &header, MSG_TRUNC) >= 0 ? CMSG_FIRSTHDR(&header) : NULL;
    if (told == NULL || told->cmsg_type != SCM_TIMESTAMPNS) {
      fprintf(stderr, "%u datagrams of %u came\n", (unsigned)i, (unsigned)count);
      return 1;
    }
    memcpy(&time, CMSG_DATA(told), sizeof time);
    printf("%lld\n", (long long)time.tv_sec * SECOND + time.tv_nsec);
  }
  return 0;
}

int main(int argc, char **argv) {
  pacing own = {.error = MCTX_ERROR_INIT};
  const int on = 1;
  mctx_address group;
  if (argc < 8 || datagrams_make(&own.sent, argv[6], (uint32_t)strtoul(argv[7], NULL, 10)) != 0) return 2;
  if (open_publication(&own, argv, &group) != 0) {
    fprintf(stderr, "cannot open a publication: %s (%s)\n", own.error.message, own.error.hint);
    return 1;
  }
  const int listener = listener_open(&group, PORT, &(listener_place){.interface = argv[2]}, false);
  if (listener < 0 || setsockopt(listener, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on) != 0) return 1;
  sleep_until(clock_ns() + SECOND / 5); /* until the kernel has begun to take times, which it does by and by */
  const int64_t start = clock_ns();
  const double start_cpu = turns_now_ns();
  const int status = strcmp(argv[3], "single") == 0  ? send_single(&own)
                     : strcmp(argv[3], "plain") == 0 ? send_plain(&own)
                                                     : send_batch(&own);
  printf("%lld %.0f\n", (long long)(clock_ns() - start), turns_now_ns() - start_cpu);
  if (status != 0) fprintf(stderr, "a datagram was not accepted: %s\n", own.error.message);
  return status != 0 ? 1 : print_times(listener, own.sent.batch);
}
