/* SPDX-License-Identifier: MIT */
/* Threads that receive, join, leave, filter, look, wake and close at once on shared subscriptions; that share
 * out what arrives; that receive while interfaces come and go. MCTX_SEED repeats a run. */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/kernel.h"
#include "host/random.h"
#include "host/subscription.h"

enum { THREADS = 6, SUBSCRIPTIONS = 3, GROUPS = 6, ROUNDS = 1200, SOURCES = 14 };

static mctx_context owner;
static _Atomic mctx_subscription subscriptions[SUBSCRIPTIONS];
static _Atomic uint64_t done;
static _Atomic int bad; /* the first status that does not fit */
static const char *_Atomic bad_where;
static _Atomic bool enough;

/* What may come when others join, leave, filter, close and wake. */
static bool fits(mctx_status status) {
  switch (status) {
    case MCTX_OK:
    case MCTX_ERR_CLOSED:
    case MCTX_ERR_WOULD_BLOCK:
    case MCTX_ERR_TIMEOUT:
    case MCTX_ERR_WOKEN:
    case MCTX_ERR_MEMBERSHIP_EXISTS:
    case MCTX_ERR_MEMBERSHIP_NOT_FOUND:
    case MCTX_ERR_FILTER_DIFFERS:
    case MCTX_ERR_FILTER_MODE:
    case MCTX_ERR_SOURCE_EXISTS:
    case MCTX_ERR_SOURCE_NOT_FOUND:
    case MCTX_ERR_NOT_FOUND:
      return true;
    default:
      return false;
  }
}

static void check(const char *where, mctx_status status) {
  int none = 0;
  if (!fits(status) && atomic_compare_exchange_strong(&bad, &none, status)) bad_where = where;
}

static void forget_what_was_bad(void) {
  bad = 0;
  enough = false;
}

static void assert_nothing_bad(void) {
  if (bad != 0) fail_msg("%s gave %s", bad_where, mctx_status_name(bad));
}

/* ---- everything at random ---- */

/* No assertions in threads: groups and sources are made by hand. */
static mctx_address some_group(uint64_t *random) {
  uint8_t number = (uint8_t)(1 + random_next(random) % GROUPS);
  if (random_next(random) % 2 == 0) return (mctx_address){.family = 4, .bytes = {239, 7, 0, number}};
  return (mctx_address){.family = 6, .bytes = {0xff, 0x15, [15] = number}};
}

static mctx_address some_source(uint64_t *random, uint32_t family) {
  uint8_t number = (uint8_t)(1 + random_next(random) % SOURCES);
  if (family == 4) return (mctx_address){.family = 4, .bytes = {10, 9, 0, number}};
  return (mctx_address){.family = 6, .bytes = {0xfd, 9, [15] = number}};
}

/* With a filter of up to 12 sources: more than an IPv4 socket takes. */
static uint32_t some_filter(uint64_t *random, mctx_membership *member, mctx_address *sources) {
  uint32_t count = random_next(random) % 13;
  member->mode = count > 0 ? random_next(random) % 2 : MCTX_EXCLUDE;
  for (uint32_t i = 0; i < count; i++) {
    sources[i] = some_source(random, member->group.family);
    sources[i].bytes[sources[i].family == 4 ? 3 : 15] = (uint8_t)(1 + i);
  }
  member->sources = count > 0 ? sources : NULL;
  member->source_count = count;
  return count;
}

static void change_memberships(uint64_t *random, mctx_subscription subscription) {
  mctx_address sources[SOURCES];
  mctx_address group = some_group(random);
  mctx_address source = some_source(random, group.family);
  mctx_membership member = {.group = group};
  if (random_next(random) % 2 == 0)
    member.ingress = (mctx_interface_ref){.by = MCTX_INTERFACE_BY_NAME, .name = "lo"};
  switch (random_next(random) % 6) {
    case 0:
      check("leave", mctx_leave(subscription, &member, sizeof member, 1, NULL));
      break;
    case 1:
      check("allow", mctx_allow(subscription, &member, sizeof member, &source, NULL));
      break;
    case 2:
      check("block", mctx_block(subscription, &member, sizeof member, &source, NULL));
      break;
    case 3:
      some_filter(random, &member, sources);
      check("filter_set", mctx_filter_set(subscription, &member, sizeof member, NULL));
      break;
    default:
      if (random_next(random) % 2 == 0) some_filter(random, &member, sources);
      check("join", mctx_join(subscription, &member, sizeof member, 1, NULL));
  }
}

static void open_somewhere(uint64_t *random) {
  static const char *const lo = "lo";
  mctx_subscription opened;
  mctx_subscription_options options;
  mctx_subscription_options_init(&options, sizeof options);
  mctx_interface_ref interface = {.by = MCTX_INTERFACE_BY_NAME, .name = lo};
  options.port = PORT;
  options.interfaces = &interface;
  options.interface_count = 1;
  options.max_group_sockets = 4;
  options.binding = random_next(random) % 2 == 0 ? MCTX_BINDING_AUTO : MCTX_BINDING_WILDCARD;
  options.coalescing = (int32_t)(random_next(random) % 2);
  mctx_status status = mctx_subscription_open(owner, &options, &opened, NULL);
  check("subscription_open", status);
  if (status != MCTX_OK) return;
  mctx_subscription old = atomic_exchange(&subscriptions[random_next(random) % SUBSCRIPTIONS], opened);
  check("close", mctx_close(old, NULL));
}

static void receive_somehow(uint64_t *random, mctx_subscription subscription, basket *memory) {
  int64_t timeout = random_next(random) % 3 == 0 ? MILLI / 2 : 0;
  mctx_message message;
  size_t length;
  uint32_t ready;
  switch (random_next(random) % 3) {
    case 0:
      check("recv", mctx_recv(subscription, memory->arena, random_next(random) % 2000, 0, timeout, &length,
                              &message, sizeof message, NULL));
      break;
    case 1:
      basket_init(memory);
      check("recv_batch", mctx_recv_batch(subscription, &memory->batch, 0, timeout, NULL));
      break;
    default:
      check("wait", mctx_wait(subscription, MCTX_READABLE, 0, timeout, &ready, NULL));
  }
}

static void look_at(uint64_t *random, mctx_subscription subscription) {
  mctx_subscription_info info = {.size = sizeof info};
  mctx_membership_info members[2 * GROUPS];
  mctx_address sources[SOURCES];
  mctx_event events[4];
  mctx_os_handle native;
  uint64_t values[64];
  char name[64];
  size_t length;
  uint32_t count = 0;
  mctx_wait_item item = {.handle = subscription, .interest = MCTX_READABLE};
  check("info", mctx_subscription_get_info(subscription, &info, NULL));
  check("memberships", mctx_memberships(subscription, members, sizeof members[0], 2 * GROUPS, &count, NULL));
  for (uint32_t i = 0; i < count && i < 2 * GROUPS; i++) {
    check("sources",
          mctx_membership_sources(subscription, members[i].id, sources, SOURCES, &(uint32_t){0}, NULL));
    check("name", mctx_membership_name(subscription, members[i].id, 0, name, sizeof name, &length, NULL));
  }
  check("metrics", mctx_metrics(random_next(random) % 2 == 0 ? owner : subscription, values, 64, &count, NULL));
  check("events", mctx_events(subscription, events, sizeof events[0], 4, &count, NULL));
  check("pollable", mctx_pollable(random_next(random) % 2 == 0 ? owner : subscription, &native, NULL));
  check("subscriptions", mctx_context_subscriptions(owner, NULL, 0, &count, NULL));
  check("wait_many", mctx_wait_many(owner, &item, sizeof item, 1, 0, 0, &count, NULL));
}

static void act(uint64_t *random, basket *memory) {
  uint32_t what = random_next(random) % 100;
  mctx_subscription subscription = subscriptions[random_next(random) % SUBSCRIPTIONS];
  if (what < 2)
    open_somewhere(random);
  else if (what < 8)
    check("wake", mctx_wake(subscription));
  else if (what < 16)
    look_at(random, subscription);
  else if (what < 45)
    change_memberships(random, subscription);
  else
    receive_somehow(random, subscription, memory);
}

static void *at_random(void *argument) {
  uint64_t random = *(uint64_t *)argument;
  basket *memory = malloc(sizeof *memory);
  for (int i = 0; i < ROUNDS && bad == 0 && memory != NULL; i++) {
    act(&random, memory);
    done++;
  }
  free(memory);
  return NULL;
}

/* What there is to receive, to groups of both families. */
static void *keep_sending(void *argument) {
  static const char data[20 * 100];
  int senders[2];
  uint64_t random = 5;
  (void)argument;
  for (int i = 0; i < 2; i++)
    senders[i] = sender_open(i == 0 ? 4 : 6, NULL, "lo");
  while (!enough) {
    mctx_address group = some_group(&random);
    group.port = PORT;
    send_superpacket(senders[group.family == 6], &group, data, sizeof data, 100);
    usleep(100);
  }
  close(senders[0]);
  close(senders[1]);
  return NULL;
}

static void threads_do_everything_at_random(void **state) {
  static kernel_tables tables;
  (void)state;
  uint64_t seeds[THREADS];
  pthread_t threads[THREADS];
  pthread_t sender;
  uint64_t seed = random_seed();
  if (access("/proc/sys/net/ipv6", F_OK) != 0) SKIP("this host has no IPv6");
  host_alone();
  forget_what_was_bad();
  done = 0;
  assert_ok(mctx_close(open_context(), NULL));
  uint32_t held = descriptors_held();
  owner = open_context();
  uint64_t first = seed;
  for (int i = 0; i < SUBSCRIPTIONS; i++) {
    mctx_subscription_options options = subscription_options();
    subscriptions[i] = subscribe_with(owner, &options);
  }
  for (int i = 0; i < 2 * SUBSCRIPTIONS; i++)
    open_somewhere(&first);
  assert_int_equal(0, pthread_create(&sender, NULL, keep_sending, NULL));
  for (int i = 0; i < THREADS; i++)
    seeds[i] = seed + (uint64_t)i;
  threads_start(threads, THREADS, at_random, seeds, sizeof seeds[0]);
  threads_join(threads, THREADS);
  enough = true;
  assert_int_equal(0, pthread_join(sender, NULL));
  assert_ok(mctx_close(owner, NULL));
  assert_nothing_bad();
  assert_int_equal(done, THREADS * ROUNDS);
  assert_int_equal(descriptors_held(), held);
  kernel_tables_read(&tables);
  assert_int_equal(tables.group_count, 0);
}

/* ---- every datagram goes to one ---- */

enum { SHARED = 20000, PART = 50, SHARERS = 2 };

static mctx_subscription shared;
static _Atomic uint32_t taken_in_all;
static _Atomic uint8_t times[SHARED];

static void note(const unsigned char *payload, size_t length) {
  uint32_t number;
  if (length != sizeof number) return check("the length", MCTX_ERR_INTERNAL);
  memcpy(&number, payload, sizeof number);
  if (number >= SHARED || times[number]++ != 0) check("a datagram", MCTX_ERR_INTERNAL);
  taken_in_all++;
}

static void *take_a_share(void *argument) {
  uint64_t random = *(uint64_t *)argument;
  basket *memory = malloc(sizeof *memory);
  while (!enough && memory != NULL) {
    size_t length;
    if (random_next(&random) % 2 == 0) {
      mctx_status status = mctx_recv(shared, memory->arena, 8, 0, 100 * MILLI, &length, NULL, 0, NULL);
      check("recv", status);
      if (status == MCTX_OK) note(memory->arena, length);
    } else {
      basket_init(memory);
      check("recv_batch", mctx_recv_batch(shared, &memory->batch, 0, 100 * MILLI, NULL));
      for (uint64_t i = 0; i < memory->batch.datagram_count; i++)
        note(payload_in(memory, i), memory->datagrams[i].length);
    }
  }
  free(memory);
  return NULL;
}

/* To several groups, partly in superpackets, never more at a time than a small buffer holds. */
static void threads_share_what_arrives(void **state) {
  uint32_t family = host_family(state);
  pthread_t threads[SHARERS];
  uint64_t seeds[SHARERS] = {1, 2};
  host_alone();
  forget_what_was_bad();
  taken_in_all = 0;
  for (uint32_t i = 0; i < SHARED; i++)
    times[i] = 0;
  mctx_context context = open_context();
  mctx_subscription_options options = subscription_options();
  shared = subscribe_with(context, &options);
  for (uint32_t i = 0; i < 4; i++) {
    mctx_address group = group_at(family, 1 + i);
    join_group(shared, &group, "lo");
  }
  threads_start(threads, SHARERS, take_a_share, seeds, sizeof seeds[0]);
  int sender = sender_open(family, NULL, "lo");
  uint32_t sent = 0;
  int64_t last = now_ns();
  while (sent < SHARED && bad == 0 && now_ns() - last < 10 * SECOND) {
    if (sent - taken_in_all > 3 * PART) {
      usleep(50);
      continue;
    }
    uint32_t numbers[PART];
    mctx_address group = group_at(family, 1 + sent / PART % 4);
    for (uint32_t i = 0; i < PART; i++)
      numbers[i] = sent++;
    if (sent / PART % 2 == 0)
      send_superpacket(sender, &group, numbers, sizeof numbers, sizeof numbers[0]);
    else
      for (uint32_t i = 0; i < PART; i++)
        send_bytes(sender, &group, &numbers[i], sizeof numbers[0]);
    last = now_ns();
  }
  for (int i = 0; i < 5000 && taken_in_all < SHARED && bad == 0; i++)
    sleep_ms(1);
  enough = true;
  threads_join(threads, SHARERS);
  assert_nothing_bad();
  assert_int_equal(taken_in_all, SHARED);
  assert_int_equal(counter_of(shared, "packets_received"), SHARED);
  close(sender);
  assert_ok(mctx_close(context, NULL));
}

/* ---- interfaces that come and go ---- */

static _Atomic uint32_t heard;

static void *keep_hearing(void *argument) {
  basket *memory = malloc(sizeof *memory);
  (void)argument;
  while (!enough && memory != NULL) {
    mctx_event events[4];
    uint32_t count;
    basket_init(memory);
    check("recv_batch", mctx_recv_batch(shared, &memory->batch, 0, 50 * MILLI, NULL));
    heard += (uint32_t)memory->batch.datagram_count;
    if (memory->batch.flags & MCTX_RECEIVE_BATCH_EVENTS)
      check("events", mctx_events(shared, events, sizeof events[0], 4, &count, NULL));
  }
  free(memory);
  return NULL;
}

static void threads_receive_while_interfaces_come_and_go(void **state) {
  enum { TIMES = 12 };
  uint32_t family = host_family(state);
  pthread_t threads[SHARERS];
  host_pair();
  forget_what_was_bad();
  mctx_context context = open_context();
  mctx_address group = group_at(family, 1);
  mctx_address named = group_at(family, 2);
  shared = subscribe(context, &group, NULL);
  join_group(shared, &named, "va");
  heard = 0;
  threads_start(threads, SHARERS, keep_hearing, NULL, 0);
  for (int i = 0; i < TIMES && bad == 0; i++) {
    host_cable("wa", "wb", 10);
    say_there(NULL, "wb", &group, "x");
    if (i % 4 == 3) {
      host_run("ip link delete va");
      host_plug();
    }
    if (i % 3 == 0) host_run("ip link set va down && ip link set va up");
    host_run("ip link delete wa");
  }
  uint32_t before = heard;
  for (int i = 0; i < 300 && heard == before && bad == 0; i++) {
    host_await_link("va");
    there_begin();
    host_await_link("vb");
    there_end();
    say_there(NULL, "vb", &named, "x");
    sleep_ms(10);
  }
  enough = true;
  threads_join(threads, SHARERS);
  assert_nothing_bad();
  assert_true(heard > before);
  assert_ok(mctx_close(context, NULL));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(threads_do_everything_at_random),
      BOTH_FAMILIES(threads_share_what_arrives),
      BOTH_FAMILIES(threads_receive_while_interfaces_come_and_go),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
