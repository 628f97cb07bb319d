/* SPDX-License-Identifier: MIT */
/*
 * Multicast from a publication to a subscription of this host, on the loopback interface, and what came of it:
 *
 *   demo single|batch|burst|ssm|show 4|6 COUNT
 *
 * - single: each datagram is received before the next is sent
 * - batch: as many at once as the receive buffer holds, received before the next are sent: whatever is missing
 *   was lost
 * - burst: all are sent before one is received, into a small buffer: the kernel has to drop some, and counts
 *   them
 * - ssm: from two sources, of which the membership includes one
 * - show: what is known of each datagram
 *
 * Prints lines of fields separated by tabs, of which scripts/demo.py makes tables. Ends with 77 and a reason
 * where this host cannot do that IP version.
 */
#define _DEFAULT_SOURCE
#include <mctx.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define SIZE     1000
#define BATCH    64
#define IN_QUEUE (4 * SIZE) /* bytes of receive buffer that a datagram takes at most, as the system counts */
#define SMALL    65536
#define PATIENCE 2000000000
#define CANNOT   77

typedef struct demo {
  int family;
  uint64_t count;
  mctx_interface_info loopback;
  mctx_context context;
  mctx_subscription subscription;
  mctx_publication publication;
  mctx_subscription_info info;
  uint64_t sent;
  uint64_t received; /* in order */
  uint64_t next;     /* number of the datagram that comes next if none is lost */
  mctx_error error;
} demo;

static unsigned char payloads[BATCH][SIZE];
static unsigned char arena[4 * 65536];
static _Alignas(8) mctx_datagram datagrams[4 * BATCH];

/* ---- opening ---- */

static int find_loopback(demo *own) {
  mctx_interface_list list;
  uint32_t count = 0;
  if (mctx_interface_list_open(&list, &own->error) != MCTX_OK) return 1;
  if (mctx_interface_list_count(list, &count, &own->error) != MCTX_OK) count = 0;
  bool is_found = false;
  for (uint32_t position = 0; position < count && !is_found; position++) {
    own->loopback.size = sizeof own->loopback;
    if (mctx_interface_list_get(list, position, &own->loopback, &own->error) != MCTX_OK) break;
    is_found = (own->loopback.flags & MCTX_INTERFACE_LOOPBACK) != 0;
  }
  (void)mctx_close(list, NULL);
  return !is_found;
}

/* Joins the group on the loopback interface; the system chooses the port. With a source, from that alone. Into
 * a small buffer without coalescing: so the kernel counts the datagrams that it drops, not superpackets. */
static int subscribe(demo *own, const char *group, const char *source, int64_t receive_buffer) {
  mctx_address from;
  mctx_membership membership = {.ingress = {.by = MCTX_INTERFACE_BY_INDEX, .index = own->loopback.index}};
  mctx_subscription_options options;
  mctx_subscription_options_init(&options, sizeof options);
  if (mctx_address_parse(group, &membership.group, &own->error) != MCTX_OK) return 1;
  if (source != NULL) {
    if (mctx_address_parse(source, &from, &own->error) != MCTX_OK) return 1;
    membership.mode = MCTX_INCLUDE;
    membership.sources = &from;
    membership.source_count = 1;
  }
  options.port = 0;
  options.receive_buffer = receive_buffer;
  options.coalescing = receive_buffer > SMALL;
  options.memberships = &membership;
  options.membership_count = 1;
  options.membership_stride = sizeof membership;
  if (mctx_subscription_open(own->context, &options, &own->subscription, &own->error) != MCTX_OK) return 1;
  own->info.size = sizeof own->info;
  return mctx_subscription_get_info(own->subscription, &own->info, &own->error) != MCTX_OK;
}

/* Names interface and source, because the system would not choose those of the loopback by itself. */
static int publish(demo *own, const char *group, const char *source, int32_t hop_limit, int32_t dscp,
                   mctx_publication *publication) {
  mctx_publication_options options;
  mctx_publication_options_init(&options, sizeof options);
  if (mctx_address_parse(group, &options.group, &own->error) != MCTX_OK) return 1;
  if (mctx_address_parse(source, &options.source, &own->error) != MCTX_OK) return 1;
  options.port = (int32_t)own->info.port;
  options.hop_limit = hop_limit;
  options.dscp = dscp;
  options.outgoing_interface.by = MCTX_INTERFACE_BY_INDEX;
  options.outgoing_interface.index = own->loopback.index;
  return mctx_publication_open(own->context, &options, publication, &own->error) != MCTX_OK;
}

static const char *group_of(const demo *own) {
  return own->family == 4 ? "239.255.77.67" : "ff11::4d43";
}

static const char *source_of(const demo *own) {
  return own->family == 4 ? "127.0.0.1" : "::1";
}

static int open_both(demo *own, int64_t receive_buffer) {
  return subscribe(own, group_of(own), NULL, receive_buffer) ||
         publish(own, group_of(own), source_of(own), 1, 0, &own->publication);
}

/* ---- counting ---- */

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Datagrams are numbered: one that comes twice or late is not counted. */
static void check(demo *own, const unsigned char *payload, uint64_t length) {
  uint64_t number;
  if (length != SIZE) return;
  memcpy(&number, payload, sizeof number);
  if (number < own->next || number >= own->sent) return;
  own->received++;
  own->next = number + 1;
}

static int report(demo *own, double seconds) {
  mctx_address source, group;
  char from[64], to[64];
  size_t length;
  uint64_t values[64];
  uint32_t count;
  if (mctx_publication_announce(own->publication, &source, &group, &own->error) != MCTX_OK) return 1;
  if (mctx_address_format(&source, from, sizeof from, &length, &own->error) != MCTX_OK) return 1;
  if (mctx_address_format(&group, to, sizeof to, &length, &own->error) != MCTX_OK) return 1;
  if (mctx_metrics(own->subscription, values, 64, &count, &own->error) != MCTX_OK) return 1;
  printf("%llu\t%llu\t%.6f\t%s\t%s\t%llu\t", (unsigned long long)own->sent, (unsigned long long)own->received,
         seconds, from, to, (unsigned long long)own->info.receive_buffer);
  for (uint32_t i = 0; i < count && i < 64; i++) {
    const char *name = mctx_metric_name(MCTX_HANDLE_SUBSCRIPTION, i);
    if (values[i] > 0 && (strcmp(name, "kernel_drops") == 0 || strncmp(name, "discarded_", 10) == 0))
      printf("%s=%llu ", name, (unsigned long long)values[i]);
  }
  printf("\n");
  return 0;
}

/* ---- one by one ---- */

static int exchange_one(demo *own) {
  size_t length;
  memcpy(payloads[0], &own->sent, sizeof own->sent);
  if (mctx_send(own->publication, payloads[0], SIZE, &own->error) != MCTX_OK) return 1;
  own->sent++;
  mctx_status status =
      mctx_recv(own->subscription, arena, sizeof arena, 0, PATIENCE, &length, NULL, 0, &own->error);
  if (status == MCTX_OK) check(own, arena, length);
  return status != MCTX_OK && status != MCTX_ERR_TIMEOUT;
}

static int run_single(demo *own) {
  if (open_both(own, 4 << 20) != 0) return 1;
  double start = now();
  while (own->sent < own->count)
    if (exchange_one(own) != 0) return 1;
  return report(own, now() - start);
}

/* ---- many at once ---- */

static int send_some(demo *own, uint64_t count) {
  mctx_slice slices[BATCH];
  uint64_t accepted;
  for (uint64_t i = 0; i < count; i++) {
    const uint64_t number = own->sent + i;
    memcpy(payloads[i], &number, sizeof number);
    slices[i] = (mctx_slice){.data = payloads[i], .length = SIZE};
  }
  mctx_status status = mctx_send_batch(own->publication, slices, count, 0, PATIENCE, &accepted, &own->error);
  own->sent += accepted;
  return status != MCTX_OK;
}

/* Receives until all have come that were sent, or none comes any more. */
static int receive_rest(demo *own, int64_t patience_ns) {
  while (own->next < own->sent) {
    mctx_receive_batch batch = {.size = sizeof batch,
                                .arena = arena,
                                .arena_size = sizeof arena,
                                .datagrams = datagrams,
                                .datagram_capacity = sizeof datagrams / sizeof datagrams[0]};
    mctx_status status = mctx_recv_batch(own->subscription, &batch, 0, patience_ns, &own->error);
    if (status == MCTX_ERR_TIMEOUT) return 0;
    if (status != MCTX_OK) return 1;
    for (uint64_t i = 0; i < batch.datagram_count; i++)
      check(own, arena + datagrams[i].offset, datagrams[i].length);
  }
  return 0;
}

static int run_batch(demo *own) {
  if (open_both(own, 4 << 20) != 0) return 1;
  uint64_t fitting = own->info.receive_buffer / IN_QUEUE;
  fitting = fitting < 1 ? 1 : fitting > BATCH ? BATCH : fitting;
  double start = now();
  while (own->sent < own->count) {
    const uint64_t left = own->count - own->sent;
    if (send_some(own, left < fitting ? left : fitting) != 0) return 1;
    if (receive_rest(own, PATIENCE) != 0) return 1;
    own->next = own->sent; /* what is missing does not come any more */
  }
  return report(own, now() - start);
}

static int run_burst(demo *own) {
  if (open_both(own, SMALL) != 0) return 1;
  double start = now();
  while (own->sent + 1 < own->count) {
    const uint64_t left = own->count - 1 - own->sent;
    if (send_some(own, left < BATCH ? left : BATCH) != 0) return 1;
  }
  if (receive_rest(own, PATIENCE / 10) != 0) return 1;
  own->next = own->sent;
  /* The kernel tells what it dropped with the next datagram. */
  if (send_some(own, 1) != 0 || receive_rest(own, PATIENCE) != 0) return 1;
  return report(own, now() - start);
}

/* ---- a source-specific group ---- */

/* One datagram from each source, the included one last: whatever the other sent is there before. */
static int exchange_two(demo *own, const mctx_publication publications[2], uint64_t received[2]) {
  uint32_t from = 1;
  for (uint32_t i = 2; i-- > 0;)
    if (mctx_send(publications[i], &i, sizeof i, &own->error) != MCTX_OK) return 1;
  while (from != 0) {
    size_t length;
    mctx_status status =
        mctx_recv(own->subscription, &from, sizeof from, 0, PATIENCE, &length, NULL, 0, &own->error);
    if (status == MCTX_ERR_TIMEOUT) return 0;
    if (status != MCTX_OK || length != sizeof from || from > 1) return 1;
    received[from]++;
  }
  return 0;
}

static int run_ssm(demo *own) {
  static const char *const group = "232.77.67.1";
  static const char *const sources[] = {"127.0.0.1", "127.0.0.2"};
  mctx_publication publications[2];
  uint64_t received[2] = {0, 0};
  if (subscribe(own, group, sources[0], 4 << 20) != 0) return 1;
  for (int i = 0; i < 2; i++)
    if (publish(own, group, sources[i], 1, 0, &publications[i]) != 0) return 1;
  while (own->sent < own->count) {
    if (exchange_two(own, publications, received) != 0) return 1;
    own->sent++;
  }
  for (int i = 0; i < 2; i++)
    printf("%s\t%s\t%llu\t%llu\n", group, sources[i], (unsigned long long)own->sent,
           (unsigned long long)received[i]);
  return 0;
}

/* ---- what is known of a datagram ---- */

static int show(demo *own, const char *payload, size_t payload_length, const mctx_message *message) {
  char from[64], to[64], clock[16];
  size_t length;
  const time_t seconds = (time_t)(message->time_ns / 1000000000);
  struct tm utc;
  if (mctx_address_format(&message->source, from, sizeof from, &length, &own->error) != MCTX_OK) return 1;
  if (mctx_address_format(&message->group, to, sizeof to, &length, &own->error) != MCTX_OK) return 1;
  gmtime_r(&seconds, &utc);
  strftime(clock, sizeof clock, "%H:%M:%S", &utc);
  printf("%.*s\t%s\t%s\t%s (%u)\t%d\t%d\t%d\t%s.%09d\t%llu\n", (int)payload_length, payload, from, to,
         message->interface_index == own->loopback.index ? own->loopback.name : "another",
         (unsigned)message->interface_index, (int)message->hop_limit, (int)message->traffic_class >> 2,
         (int)message->traffic_class & 3, clock, (int)(message->time_ns % 1000000000),
         (unsigned long long)message->drops);
  return 0;
}

static int run_show(demo *own) {
  static const struct {
    const char *text;
    int32_t hop_limit;
    int32_t dscp;
  } kinds[] = {{"plain", 1, 0}, {"expedited", 8, 46}};
  if (subscribe(own, group_of(own), NULL, 4 << 20) != 0) return 1;
  for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
    mctx_message message;
    char payload[64];
    size_t length;
    mctx_publication publication;
    if (publish(own, group_of(own), source_of(own), kinds[i].hop_limit, kinds[i].dscp, &publication) != 0)
      return 1;
    if (mctx_send(publication, kinds[i].text, strlen(kinds[i].text), &own->error) != MCTX_OK) return 1;
    own->sent++;
    if (mctx_recv(own->subscription, payload, sizeof payload, 0, PATIENCE, &length, &message, sizeof message,
                  &own->error) != MCTX_OK ||
        show(own, payload, length, &message) != 0)
      return 1;
  }
  return 0;
}

/* ---- all of it ---- */

static const struct {
  const char *name;
  int (*run)(demo *own);
} tasks[] = {
    {"single", run_single}, {"batch", run_batch}, {"burst", run_burst}, {"ssm", run_ssm}, {"show", run_show}};

/* Whether a failure comes of what this host is. */
static bool is_of_the_host(mctx_status status) {
  const uint32_t kind = mctx_status_kind(status);
  return kind == MCTX_KIND_NETWORK || kind == MCTX_KIND_UNSUPPORTED || kind == MCTX_KIND_NOT_FOUND ||
         kind == MCTX_KIND_PERMISSION;
}

int main(int argc, char **argv) {
  demo own = {.error = MCTX_ERROR_INIT};
  size_t task = 0;
  while (argc == 4 && task < sizeof tasks / sizeof tasks[0] && strcmp(argv[1], tasks[task].name) != 0)
    task++;
  if (argc != 4 || task == sizeof tasks / sizeof tasks[0]) {
    fprintf(stderr, "usage: demo single|batch|burst|ssm|show 4|6 COUNT; `make demo` runs it\n");
    return 2;
  }
  own.family = strcmp(argv[2], "6") == 0 ? 6 : 4;
  own.count = strtoull(argv[3], NULL, 10);
  int result = find_loopback(&own);
  if (result == 0) result = mctx_context_open(NULL, &own.context, &own.error) != MCTX_OK;
  if (result == 0) result = tasks[task].run(&own);
  if (result != 0) {
    printf("%s (%s)\n", own.error.message, mctx_status_name(own.error.status));
    if (own.sent == 0 && is_of_the_host(own.error.status)) result = CANNOT;
  }
  (void)mctx_close(own.context, NULL);
  return result;
}
