/* SPDX-License-Identifier: MIT */
/* Memory on the real system: sending and receiving allocate nothing, closing gives everything back, and where
 * there is none an opening fails as it should. This program's own malloc() counts and refuses. */
#include <errno.h>
#include <malloc.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "host/kernel.h"
#include "host/subscription.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OWN_MALLOC 0 /* a sanitizer has its own */
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define OWN_MALLOC 0
#endif
#endif
#ifndef OWN_MALLOC
#if defined(__GLIBC__)
#define OWN_MALLOC 1
#else
#define OWN_MALLOC 0
#endif
#endif

static _Atomic bool counting;
static _Atomic uint64_t allocations;
static _Atomic int64_t live;
static _Atomic uint64_t refuse_at; /* the how many-th is refused; 0: none */

#if OWN_MALLOC
void *__libc_malloc(size_t size);
void __libc_free(void *memory);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *memory, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

static bool refused(void) {
  if (!atomic_load(&counting)) return false;
  uint64_t number = atomic_fetch_add(&allocations, 1) + 1;
  if (number == atomic_load(&refuse_at)) return true;
  atomic_fetch_add(&live, 1);
  return false;
}

void *malloc(size_t size) {
  if (refused()) return NULL;
  return __libc_malloc(size);
}

void *calloc(size_t count, size_t size) {
  if (refused()) return NULL;
  return __libc_calloc(count, size);
}

void *realloc(void *memory, size_t size) {
  if (memory == NULL) return malloc(size);
  return __libc_realloc(memory, size);
}

int posix_memalign(void **memory, size_t alignment, size_t size) {
  if (refused()) return ENOMEM;
  *memory = __libc_memalign(alignment, size);
  return *memory != NULL ? 0 : ENOMEM;
}

void free(void *memory) {
  if (memory != NULL && atomic_load(&counting)) atomic_fetch_sub(&live, 1);
  __libc_free(memory);
}
#endif

static void start_counting(void) {
  if (!OWN_MALLOC) SKIP("a sanitizer's malloc is in use");
  allocations = 0;
  live = 0;
  counting = true;
}

static uint64_t stop_counting(void) {
  counting = false;
  return allocations;
}

static void the_count_works(void **state) {
  (void)state;
  mctx_context context;
  start_counting();
  mctx_status status = mctx_context_open(NULL, &context, NULL);
  assert_true(stop_counting() > 0);
  assert_ok(status);
  assert_ok(mctx_close(context, NULL));
}

static void sending_allocates_nothing(void **state) {
  enum { COUNT = 100 };
  static const char payload[COUNT * 1200];
  uint32_t family = host_family(state);
  mctx_slice slices[COUNT];
  mctx_slice equal[COUNT]; /* scattered: what the kernel cuts is put together first */
  mctx_slice large[COUNT];
  mctx_error error = MCTX_ERROR_INIT;
  uint64_t accepted;
  uint32_t ready;
  uint32_t count;
  uint64_t values[64];
  int failed = 0;
  host_alone();
  mctx_context context = open_context();
  mctx_publication_options options = options_through(group_of(family), "lo");
  mctx_publication publication = open_with(context, &options);
  options.error_queue = 1;
  mctx_publication careful = open_with(context, &options);
  options.pacing_rate = 1000000;
  options.pacing_unit = MCTX_PACING_DATAGRAMS;
  mctx_publication paced = open_with(context, &options);
  for (uint32_t i = 0; i < COUNT; i++) {
    slices[i] = (mctx_slice){.data = payload, .length = i};
    equal[i] = (mctx_slice){.data = payload + i * 300, .length = 200};
    large[i] = (mctx_slice){.data = payload + i * 1199, .length = 1100};
  }
  start_counting();
  for (int i = 0; i < 100; i++) {
    failed += mctx_send(publication, payload, 10, &error) != MCTX_OK;
    failed += mctx_send_batch(publication, slices, COUNT, 0, SECOND, &accepted, &error) != MCTX_OK;
    failed += mctx_send_batch(publication, equal, COUNT, 0, SECOND, &accepted, &error) != MCTX_OK;
    failed += mctx_send_batch(publication, large, COUNT, 0, SECOND, &accepted, &error) != MCTX_OK;
    failed += mctx_send_batch(paced, equal, COUNT, 0, SECOND, &accepted, &error) != MCTX_OK;
    failed += mctx_send_batch(careful, slices, COUNT, 0, SECOND, &accepted, &error) != MCTX_OK;
    failed += mctx_send_segments(publication, payload, 1000, 10, 0, 0, &accepted, &error) != MCTX_OK;
    failed += mctx_send_all(context, payload, 10, NULL, 0, 0, &count, &error) != MCTX_OK;
    failed += mctx_wait(publication, MCTX_WRITABLE, 0, -1, &ready, &error) != MCTX_OK;
    failed += mctx_metrics(publication, values, 64, &count, &error) != MCTX_OK;
    failed += mctx_send(publication, payload, SIZE_MAX, &error) != MCTX_ERR_DATAGRAM_TOO_LARGE;
  }
  uint64_t counted = stop_counting();
  assert_int_equal(failed, 0);
  assert_int_equal(counted, 0);
  assert_ok(mctx_close(context, NULL));
}

static void refused_sends_allocate_nothing(void **state) {
  static const char payload[1000];
  uint32_t family = host_family(state);
  uint32_t full[2] = {0};
  host_pair();
  if (!host_try("tc qdisc add dev va root tbf rate 1mbit burst 4kb limit 20kb"))
    SKIP("this host has no tbf queue");
  mctx_context context = open_context();
  for (int small = 0; small <= 1; small++) {
    mctx_publication_options options = options_through(group_of(family), "va");
    options.loopback = 0;
    options.send_buffer = small;
    mctx_publication publication = open_with(context, &options);
    mctx_error error = MCTX_ERROR_INIT;
    start_counting();
    for (int i = 0; i < 200; i++) {
      mctx_status status = mctx_send(publication, payload, sizeof payload, &error);
      full[small] += status == (small != 0 ? MCTX_ERR_WOULD_BLOCK : MCTX_ERR_QUEUE_FULL);
    }
    assert_int_equal(stop_counting(), 0);
    assert_true(full[small] > 0);
    sleep_ms(200);
  }
  assert_ok(mctx_close(context, NULL));
}

/* So many datagrams. */
static void receive_all_ways(mctx_subscription subscription, uint64_t sent, int *failed) {
  static basket memory;
  char small[10];
  size_t length;
  mctx_message message;
  mctx_event events[4];
  uint64_t values[64];
  uint32_t count;
  basket_init(&memory);
  *failed += mctx_wait(subscription, MCTX_READABLE, 0, PATIENCE_MS * MILLI, &count, NULL) != MCTX_OK;
  for (int i = 0; i < 3; i++) /* the rest of what came together is held back, and goes into the batch */
    *failed += mctx_recv(subscription, small, sizeof small, 0, PATIENCE_MS * MILLI, &length, &message,
                         sizeof message, NULL) != MCTX_OK;
  mctx_status status = MCTX_OK;
  for (uint64_t received = 3; received < sent && status == MCTX_OK; received += memory.batch.datagram_count)
    status = mctx_recv_batch(subscription, &memory.batch, 0, PATIENCE_MS * MILLI, NULL);
  *failed += status != MCTX_OK;
  *failed += mctx_recv(subscription, small, sizeof small, 0, MILLI, &length, NULL, 0, NULL) != MCTX_ERR_TIMEOUT;
  *failed += mctx_metrics(subscription, values, 64, &count, NULL) != MCTX_OK;
  *failed += mctx_events(subscription, events, sizeof events[0], 4, &count, NULL) != MCTX_OK;
}

/* By whichever sockets, with and without what has to be discarded. */
static void receiving_allocates_nothing(void **state) {
  enum { GROUPS = 3, DATAGRAMS_EACH = 20, SIZE = 100 };
  static const char data[DATAGRAMS_EACH * SIZE];
  uint32_t family = host_family(state);
  host_alone();
  for (uint32_t binding = MCTX_BINDING_AUTO; binding <= MCTX_BINDING_WILDCARD;
       binding += MCTX_BINDING_WILDCARD) {
    int failed = 0;
    mctx_context context = open_context();
    mctx_subscription_options options = subscription_options();
    options.binding = binding;
    mctx_subscription subscription = subscribe_with(context, &options);
    mctx_address here = address_of(family == 4 ? "127.0.0.1:5007" : "[::1]:5007");
    int sender = sender_open(family, NULL, "lo");
    for (uint32_t i = 1; i <= GROUPS; i++) {
      mctx_address group = group_at(family, i);
      join_group(subscription, &group, "lo");
    }
    for (int round = 0; round < 20; round++) {
      for (uint32_t i = 1; i <= GROUPS; i++) {
        mctx_address group = group_at(family, i);
        send_superpacket(sender, &group, data, sizeof data, SIZE);
      }
      if (binding == MCTX_BINDING_WILDCARD) send_text(sender, &here, "unicast");
      if (round > 0) start_counting(); /* the first wait opens what wakes it */
      receive_all_ways(subscription, GROUPS * DATAGRAMS_EACH, &failed);
      assert_int_equal(round > 0 ? stop_counting() : 0, 0);
    }
    assert_int_equal(failed, 0);
    close(sender);
    assert_ok(mctx_close(context, NULL));
  }
}

static void open_and_close(uint32_t family) {
  uint32_t ready;
  mctx_context context = open_context();
  mctx_publication publication = open_through(context, group_of(family), "lo");
  assert_ok(mctx_send(publication, "x", 1, NULL));
  assert_ok(mctx_wait(publication, MCTX_WRITABLE, 0, 0, &ready, NULL));
  (void)info_of(publication);
  for (uint32_t binding = MCTX_BINDING_AUTO; binding <= MCTX_BINDING_WILDCARD;
       binding += MCTX_BINDING_WILDCARD) {
    static basket memory;
    mctx_subscription_options how = subscription_options();
    mctx_address source = address_of(family == 4 ? "127.0.0.1" : "::1");
    how.binding = binding;
    mctx_subscription subscription = subscribe_with(context, &how);
    for (uint32_t i = 1; i <= 3; i++) {
      mctx_address group = group_at(family, i);
      mctx_membership member = member_of(&group, "lo");
      join_group(subscription, &group, "lo");
      assert_ok(mctx_block(subscription, &member, sizeof member, &source, NULL));
      if (i == 2) leave_group(subscription, &group, "lo");
    }
    basket_init(&memory);
    assert_status(mctx_recv_batch(subscription, &memory.batch, 0, MILLI, NULL), MCTX_ERR_TIMEOUT);
    (void)pollable_of(context);
  }
  assert_ok(mctx_close(context, NULL));
}

static void closing_gives_everything_back(void **state) {
  uint32_t family = host_family(state);
  host_alone();
  open_and_close(family); /* the table of handles stays */
  uint32_t held = descriptors_held();
  start_counting();
  for (int i = 0; i < 20; i++)
    open_and_close(family);
  uint64_t counted = stop_counting();
  assert_true(counted > 0);
  assert_int_equal(live, 0);
  assert_int_equal(descriptors_held(), held);
}

/* Every allocation on the way is refused once. */
static void opening_without_memory_leaves_nothing(void **state) {
  uint32_t family = host_family(state);
  mctx_publication publication = 0;
  mctx_error error = MCTX_ERROR_INIT;
  uint64_t at = 0;
  host_alone();
  mctx_context context = open_context();
  mctx_publication_options options = options_through(group_of(family), "lo");
  options.flags = MCTX_PUBLICATION_DUPLICATE;
  uint32_t held = descriptors_held();
  mctx_status status = MCTX_ERR_NO_MEMORY;
  while (status != MCTX_OK && at < 100) {
    start_counting();
    refuse_at = ++at;
    status = mctx_publication_open(context, &options, &publication, &error);
    refuse_at = 0;
    stop_counting();
    if (status == MCTX_OK) break;
    assert_status(status, MCTX_ERR_NO_MEMORY);
    assert_int_equal(error.kind, MCTX_KIND_LIMIT);
    assert_int_equal(publication, 0);
    assert_int_equal(live, 0);
    assert_int_equal(descriptors_held(), held);
  }
  assert_ok(status);
  assert_true(at > 3);
  assert_ok(mctx_close(context, NULL));
}

/* The same for a subscription that joins at once, and for a join. */
static void subscribing_without_memory_leaves_nothing(void **state) {
  uint32_t family = host_family(state);
  static kernel_tables tables;
  mctx_subscription subscription = 0;
  mctx_error error = MCTX_ERROR_INIT;
  mctx_membership members[3];
  mctx_address source = address_of(family == 4 ? "127.0.0.1" : "::1");
  host_alone();
  mctx_context context = open_context();
  mctx_subscription_options options = subscription_options();
  for (uint32_t i = 0; i < 3; i++) {
    mctx_address group = group_at(family, 1 + i);
    members[i] = member_of(&group, "lo");
  }
  members[2].mode = MCTX_INCLUDE;
  members[2].sources = &source;
  members[2].source_count = 1;
  uint32_t held = descriptors_held();
  for (int by_join = 0; by_join <= 1; by_join++) {
    mctx_status status = MCTX_ERR_NO_MEMORY;
    uint64_t at = 0;
    options.memberships = by_join ? NULL : members;
    options.membership_count = by_join ? 0 : 3;
    if (by_join) subscription = subscribe_with(context, &options);
    uint32_t held_open = descriptors_held();
    while (status != MCTX_OK && at < 100) {
      start_counting();
      refuse_at = ++at;
      status = by_join ? mctx_join(subscription, members, sizeof members[0], 3, &error)
                       : mctx_subscription_open(context, &options, &subscription, &error);
      refuse_at = 0;
      stop_counting();
      if (status == MCTX_OK) break;
      assert_status(status, MCTX_ERR_NO_MEMORY);
      if (!by_join) assert_int_equal(live, 0);
      assert_int_equal(descriptors_held(), held_open);
      kernel_tables_read(&tables);
      assert_int_equal(tables.group_count, 0);
    }
    assert_ok(status);
    assert_true(at > 3);
    assert_ok(mctx_close(subscription, NULL));
    assert_int_equal(descriptors_held(), held);
  }
  assert_ok(mctx_close(context, NULL));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_count_works),
      BOTH_FAMILIES(sending_allocates_nothing),
      BOTH_FAMILIES(refused_sends_allocate_nothing),
      BOTH_FAMILIES(receiving_allocates_nothing),
      BOTH_FAMILIES(closing_gives_everything_back),
      BOTH_FAMILIES(opening_without_memory_leaves_nothing),
      BOTH_FAMILIES(subscribing_without_memory_leaves_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
