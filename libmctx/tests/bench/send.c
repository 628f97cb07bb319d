/* SPDX-License-Identifier: MIT */
/*
 * Sends datagrams in several ways on one and the same socket, to be timed or to be counted by a tool:
 *
 *   send GROUP INTERFACE connected|unconnected alone|threads SIZE BATCH time ROUNDS
 *   send GROUP INTERFACE connected|unconnected alone|threads SIZE BATCH count WAY CALLS
 *
 * `time` measures all ways in turns and prints their names, then a line of nanoseconds per datagram for each
 * round. `count` makes the calls of one way and prints nothing. With `threads` a second thread sleeps: that
 * alone changes what the C library and this one do for a send. Ends with 1 and a reason if a datagram was not
 * accepted.
 */
#include <arpa/inet.h>
#include <mctx.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { PORT = 5000, DATAGRAMS_A_TURN = 128, RAW_FLAGS = MSG_DONTWAIT | MSG_NOSIGNAL };

typedef struct bench {
  mctx_publication publication;
  mctx_error error;
  int descriptor; /* the publication's: all ways have the same options */
  struct sockaddr_storage group;
  socklen_t group_length; /* 0: connected */
  unsigned char *payloads;
  size_t size;
  uint32_t batch;
  mctx_slice *slices;
  struct mmsghdr *messages;
  struct iovec *vectors;
} bench;

/* ---- the ways: each makes so many calls and returns how many of them failed ---- */

static uint32_t raw_send(bench *own, uint32_t calls) {
  uint32_t failed = 0;
  for (uint32_t i = 0; i < calls; i++)
    failed += send(own->descriptor, own->payloads, own->size, RAW_FLAGS) != (ssize_t)own->size;
  return failed;
}

static uint32_t raw_sendto(bench *own, uint32_t calls) {
  uint32_t failed = 0;
  for (uint32_t i = 0; i < calls; i++)
    failed += sendto(own->descriptor, own->payloads, own->size, RAW_FLAGS, (struct sockaddr *)&own->group,
                     own->group_length) != (ssize_t)own->size;
  return failed;
}

static uint32_t raw_one(bench *own, uint32_t calls) {
  return own->group_length == 0 ? raw_send(own, calls) : raw_sendto(own, calls);
}

/* The headers are made once: less than this no program can do. */
static uint32_t raw_sendmmsg(bench *own, uint32_t calls) {
  uint32_t failed = 0;
  for (uint32_t i = 0; i < calls; i++)
    failed += sendmmsg(own->descriptor, own->messages, own->batch, RAW_FLAGS) != (int)own->batch;
  return failed;
}

static uint32_t library_send(bench *own, uint32_t calls) {
  uint32_t failed = 0;
  for (uint32_t i = 0; i < calls; i++)
    failed += mctx_send(own->publication, own->payloads, own->size, &own->error) != MCTX_OK;
  return failed;
}

static uint32_t library_batch(bench *own, uint32_t calls) {
  uint32_t failed = 0;
  uint64_t accepted;
  for (uint32_t i = 0; i < calls; i++)
    failed += mctx_send_batch(own->publication, own->slices, own->batch, 0, 0, &accepted, &own->error) != 0;
  return failed;
}

static uint32_t library_segments(bench *own, uint32_t calls) {
  uint32_t failed = 0;
  uint64_t accepted;
  for (uint32_t i = 0; i < calls; i++)
    failed += mctx_send_segments(own->publication, own->payloads, own->size * own->batch, (uint32_t)own->size,
                                 0, 0, &accepted, &own->error) != 0;
  return failed;
}

typedef struct way {
  const char *name;
  uint32_t (*run)(bench *own, uint32_t calls);
  int takes_batch;
} way;

static const way ways[] = {{"raw send", raw_one, 0},
                           {"mctx_send", library_send, 0},
                           {"raw sendmmsg", raw_sendmmsg, 1},
                           {"mctx_send_batch", library_batch, 1},
                           {"mctx_send_segments", library_segments, 1}};

enum { WAYS = sizeof ways / sizeof ways[0] };

/* ---- what is common to them ---- */

static int fail(const char *what, const mctx_error *error) {
  fprintf(stderr, "%s: %s (%s)\n", what, error->message, error->hint);
  return 1;
}

static int open_publication(bench *own, const char *group, const char *interface, int connected) {
  mctx_context context;
  mctx_publication_options options;
  mctx_os_handle native;
  mctx_publication_options_init(&options, sizeof options);
  options.port = PORT;
  options.connected = connected;
  options.outgoing_interface.by = MCTX_INTERFACE_BY_NAME;
  options.outgoing_interface.name = interface;
  if (mctx_address_parse(group, &options.group, &own->error) != MCTX_OK ||
      mctx_context_open(NULL, &context, &own->error) != MCTX_OK ||
      mctx_publication_open(context, &options, &own->publication, &own->error) != MCTX_OK ||
      mctx_pollable(own->publication, &native, &own->error) != MCTX_OK)
    return fail("cannot open a publication", &own->error);
  own->descriptor = (int)native.value;
  return 0;
}

/* The destination for the plain calls on an unconnected socket. */
static void set_group(bench *own, const char *group) {
  struct sockaddr_in *v4 = (struct sockaddr_in *)&own->group;
  struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)&own->group;
  if (inet_pton(AF_INET, group, &v4->sin_addr) == 1) {
    v4->sin_family = AF_INET;
    v4->sin_port = htons(PORT);
    own->group_length = sizeof *v4;
  } else if (inet_pton(AF_INET6, group, &v6->sin6_addr) == 1) {
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(PORT);
    own->group_length = sizeof *v6;
  }
}

static int make_payloads(bench *own) {
  own->payloads = calloc(own->batch, own->size);
  own->slices = calloc(own->batch, sizeof *own->slices);
  own->messages = calloc(own->batch, sizeof *own->messages);
  own->vectors = calloc(own->batch, sizeof *own->vectors);
  if (own->payloads == NULL || own->slices == NULL || own->messages == NULL || own->vectors == NULL) return 1;
  for (uint32_t i = 0; i < own->batch; i++) {
    unsigned char *payload = own->payloads + i * own->size;
    own->slices[i] = (mctx_slice){.data = payload, .length = own->size};
    own->vectors[i] = (struct iovec){payload, own->size};
    own->messages[i].msg_hdr.msg_iov = &own->vectors[i];
    own->messages[i].msg_hdr.msg_iovlen = 1;
    if (own->group_length == 0) continue;
    own->messages[i].msg_hdr.msg_name = &own->group;
    own->messages[i].msg_hdr.msg_namelen = own->group_length;
  }
  return 0;
}

static int run(bench *own, const way *chosen, uint32_t calls) {
  uint32_t failed = chosen->run(own, calls);
  if (failed == 0) return 0;
  fprintf(stderr, "%s: %u of %u calls failed\n", chosen->name, (unsigned)failed, (unsigned)calls);
  return 1;
}

/* ---- time and count ---- */

static double now_ns(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

/* Each round begins with another way, so that none always follows the same one. */
static int time_ways(bench *own, uint32_t rounds) {
  for (uint32_t k = 0; k < WAYS; k++)
    printf("%s%s", ways[k].name, k + 1 < WAYS ? "\t" : "\n");
  for (uint32_t round = 0; round < rounds; round++) {
    double taken[WAYS];
    for (uint32_t i = 0; i < WAYS; i++) {
      uint32_t k = (round + i) % WAYS;
      uint32_t datagrams = ways[k].takes_batch ? own->batch : 1;
      uint32_t calls = (DATAGRAMS_A_TURN + datagrams - 1) / datagrams;
      double start = now_ns();
      if (run(own, &ways[k], calls) != 0) return 1;
      taken[k] = (now_ns() - start) / calls / datagrams;
    }
    for (uint32_t k = 0; k < WAYS; k++)
      printf("%.2f%s", taken[k], k + 1 < WAYS ? "\t" : "\n");
  }
  return 0;
}

static int count_way(bench *own, const char *name, uint32_t calls) {
  for (uint32_t k = 0; k < WAYS; k++)
    if (strcmp(ways[k].name, name) == 0) return run(own, &ways[k], calls);
  fprintf(stderr, "no such way: %s\n", name);
  return 2;
}

static void *sleep_on(void *nothing) {
  pause();
  return nothing;
}

static uint32_t number(const char *text) {
  return (uint32_t)strtoul(text, NULL, 10);
}

int main(int argc, char **argv) {
  bench own = {.error = MCTX_ERROR_INIT};
  pthread_t other;
  if (argc < 9 || number(argv[5]) == 0 || number(argv[6]) == 0) return 2;
  int connected = strcmp(argv[3], "connected") == 0;
  own.size = number(argv[5]);
  own.batch = number(argv[6]);
  if (strcmp(argv[4], "threads") == 0 && pthread_create(&other, NULL, sleep_on, NULL) != 0) return 1;
  if (open_publication(&own, argv[1], argv[2], connected) != 0) return 1;
  if (!connected) set_group(&own, argv[1]);
  if (make_payloads(&own) != 0) return 1;
  if (strcmp(argv[7], "time") == 0) return time_ways(&own, number(argv[8]));
  return argc > 9 ? count_way(&own, argv[8], number(argv[9])) : 2;
}
