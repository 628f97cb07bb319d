/* SPDX-License-Identifier: MIT */
/* What receiving asks of the kernel: nothing but receives where something is there, and one look at all the
 * sockets where that is needed. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "host/subscription.h"
#include "host/trace.h"

enum { GROUPS = 3, SEGMENT = 100, SEGMENTS = 40 };

/* ---- under strace ---- */

typedef struct traced {
  uint32_t groups;
  mctx_subscription subscription;
  int sender;
} traced;

static basket memory;

/* So many datagrams to each group. */
static void send_to_all(traced *own, uint32_t count) {
  for (uint32_t i = 0; i < own->groups; i++)
    for (uint32_t k = 0; k < count; k++) {
      mctx_address group = group_at(4, 1 + i);
      send_text(own->sender, &group, "x");
    }
}

static void send_superpackets(traced *own, uint32_t count) {
  static const char data[SEGMENT * SEGMENTS];
  mctx_address group = group_at(4, 1);
  for (uint32_t i = 0; i < count; i++)
    send_superpacket(own->sender, &group, data, sizeof data, SEGMENT);
}

static void send_none(traced *own, uint32_t count) {
  (void)own;
  (void)count;
}

static void expect_count(uint64_t count, uint64_t wanted) {
  if (count == wanted) return;
  fprintf(stderr, "%u datagrams, not %u\n", (unsigned)count, (unsigned)wanted);
  exit(1);
}

static void receive_one(traced *own) {
  char data[SEGMENT];
  size_t length;
  mctx_message message;
  trace_expect(
      mctx_recv(own->subscription, data, sizeof data, 0, SECOND, &length, &message, sizeof message, NULL));
}

static void receive_all(traced *own) {
  basket_init(&memory);
  trace_expect(mctx_recv_batch(own->subscription, &memory.batch, 0, SECOND, NULL));
}

static void receive_ten(traced *own) {
  receive_all(own);
  expect_count(memory.batch.datagram_count, 10);
}

static void receive_segments(traced *own) {
  receive_all(own);
  expect_count(memory.batch.datagram_count, SEGMENTS);
}

static void receive_segments_one_by_one(traced *own) {
  for (int i = 0; i < SEGMENTS; i++)
    receive_one(own);
}

static void receive_nothing(traced *own) {
  basket_init(&memory);
  if (mctx_recv_batch(own->subscription, &memory.batch, 0, 0, NULL) != MCTX_ERR_WOULD_BLOCK) exit(1);
}

static void look_around(traced *own) {
  uint64_t values[64];
  uint32_t count;
  mctx_membership_info infos[GROUPS];
  trace_expect(mctx_metrics(own->subscription, values, 64, &count, NULL));
  trace_expect(mctx_memberships(own->subscription, infos, sizeof infos[0], GROUPS, &count, NULL));
}

/* What a call may cost: so many calls of each of these names, and none besides. */
typedef struct cost {
  const char *what;
  void (*prepare)(traced *, uint32_t count);
  uint32_t prepared;
  void (*act)(traced *);
  struct {
    const char *name;
    uint32_t count;
  } calls[3];
  uint32_t groups;
  bool plain; /* no metadata is asked for, and nothing coalesces */
} cost;

/* A batch learns that a socket is empty by asking once more. */
static const cost costs[] = {
    {"one datagram is one call", send_to_all, 1, receive_one, {{"recvmsg", 1}}, 1, false},
    {"where the kernel alone isolates it is the plainest",
     send_to_all,
     1,
     receive_one,
     {{"recvfrom", 1}},
     1,
     true},
    {"one of several sockets is one look and one call",
     send_to_all,
     1,
     receive_one,
     {{"recvmsg", 1}, {"epoll_wait", 1}},
     3,
     false},
    {"a batch of ten is four calls, with records for four messages",
     send_to_all,
     10,
     receive_ten,
     {{"recvmmsg", 4}},
     1,
     false},
    {"datagrams that come together are one call",
     send_superpackets,
     1,
     receive_segments,
     {{"recvmmsg", 1}},
     1,
     false},
    {"datagrams held back are no call each; waiters are told, once",
     send_superpackets,
     1,
     receive_segments_one_by_one,
     {{"recvmsg", 1}, {"write", 1}, {"read", 1}},
     1,
     false},
    {"nothing is one call and one look",
     send_none,
     0,
     receive_nothing,
     {{"recvmsg", 1}, {"epoll_wait", 1}},
     1,
     false},
    {"nothing on several sockets is one look", send_none, 0, receive_nothing, {{"epoll_wait", 1}}, 3, false},
    {"counters and memberships are no call", send_none, 0, look_around, {{"", 0}}, 3, false},
};

enum { COSTS = sizeof costs / sizeof costs[0] };

static int act_traced(const cost *wanted) {
  mctx_context context;
  traced own = {.groups = wanted->groups, .sender = sender_open(4, NULL, "lo")};
  mctx_subscription_options options = subscription_options();
  mctx_interface_ref lo = interface_named("lo");
  options.interfaces = &lo;
  options.interface_count = 1;
  if (wanted->plain) {
    options.metadata = 0;
    options.coalescing = 0;
  }
  trace_expect(mctx_context_open(NULL, &context, NULL));
  trace_expect(mctx_subscription_open(context, &options, &own.subscription, NULL));
  for (uint32_t i = 0; i < wanted->groups; i++) {
    mctx_address group = group_at(4, 1 + i);
    mctx_membership member = member_of(&group, NULL);
    trace_expect(mctx_join(own.subscription, &member, sizeof member, 1, NULL));
  }
  for (int round = 0; round < 2; round++) { /* whatever happens the first time only is not looked at */
    while (mctx_wait(own.subscription, MCTX_READABLE, 0, 0, &(uint32_t){0}, NULL) == MCTX_OK)
      receive_all(&own);
    wanted->prepare(&own, wanted->prepared);
    if (round == 1) trace_mark();
    wanted->act(&own);
    if (round == 1) trace_mark();
  }
  return 0;
}

/* ---- the reader ---- */

static void calls_to_the_kernel(void **state) {
  static trace seen;
  char arguments[32];
  const cost *wanted = *state;
  host_alone();
  snprintf(arguments, sizeof arguments, "--traced %d", (int)(wanted - costs));
  trace_self(&seen, arguments);
  uint32_t expected = 0;
  for (size_t i = 0; i < 3 && wanted->calls[i].name != NULL; i++) {
    uint32_t count = trace_count(&seen, wanted->calls[i].name);
    if (count != wanted->calls[i].count)
      fail_msg("there were %u calls of %s, not %u", count, wanted->calls[i].name, wanted->calls[i].count);
    expected += count;
  }
  for (uint32_t i = 0; seen.count != expected && i < seen.count; i++)
    print_message("there was a call of %s\n", seen.names[i]);
  assert_int_equal(seen.count, expected);
}

int main(int count, char **arguments) {
  struct CMUnitTest tests[COSTS];
  if (count == 3 && strcmp(arguments[1], "--traced") == 0)
    return act_traced(&costs[strtoul(arguments[2], NULL, 10) % COSTS]);
  for (size_t i = 0; i < COSTS; i++)
    tests[i] =
        (struct CMUnitTest){costs[i].what, calls_to_the_kernel, NULL, NULL, (void *)(uintptr_t)&costs[i]};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
