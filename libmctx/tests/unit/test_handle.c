/* SPDX-License-Identifier: MIT */
/* Handles: stale, forged, foreign and closed ones are errors, and nothing else. */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <unistd.h>

#include "handle.h"
#include "sim_fixture.h"

/* Every call that takes a handle, on a handle. */
enum { CALLS = 21 };

static mctx_status call_with(int which, mctx_handle handle) {
  mctx_publication_options options = options_for("239.9.9.9:9");
  mctx_publication_info info = {.size = sizeof info};
  mctx_interface_info interface = {.size = sizeof interface};
  mctx_interface_ref wanted = {.by = MCTX_INTERFACE_BY_INDEX, .index = 1};
  mctx_address address, group;
  mctx_os_handle native;
  mctx_publication opened;
  mctx_slice slice = {.length = 0};
  size_t length;
  uint32_t count;
  switch (which) {
    case 0:
      return mctx_interface_list_count(handle, &count, NULL);
    case 1:
      return mctx_interface_list_get(handle, 0, &interface, NULL);
    case 2:
      return mctx_interface_list_addresses(handle, 0, NULL, 0, &count, NULL);
    case 3:
      return mctx_interface_list_friendly_name(handle, 0, NULL, 0, &length, NULL);
    case 4:
      return mctx_interface_list_find(handle, &wanted, &count, NULL);
    case 5:
      return mctx_interface_list_default(handle, 4, &count, NULL);
    case 6:
      return mctx_wake(handle);
    case 7:
      return mctx_wait(handle, 0, 0, 0, &count, NULL);
    case 8:
      return mctx_pollable(handle, &native, NULL);
    case 9:
      return mctx_metrics(handle, NULL, 0, &count, NULL);
    case 10:
      return mctx_events(handle, NULL, sizeof(mctx_event), 0, &count, NULL);
    case 11:
      return mctx_context_publications(handle, NULL, 0, &count, NULL);
    case 12:
      return mctx_publication_open(handle, &options, &opened, NULL);
    case 13:
      return mctx_publication_get_info(handle, &info, NULL);
    case 14:
      return mctx_publication_interface_name(handle, NULL, 0, &length, NULL);
    case 15:
      return mctx_publication_announce(handle, &address, &group, NULL);
    case 16:
      return mctx_publication_take(handle, &native, NULL);
    case 17:
      return mctx_send(handle, "x", 1, NULL);
    case 18:
      return mctx_send_batch(handle, &slice, 1, 0, 0, NULL, NULL);
    case 19:
      return mctx_send_segments(handle, "x", 1, 1, 0, 0, NULL, NULL);
    default:
      return mctx_send_all(handle, "x", 1, NULL, 0, 0, &count, NULL);
  }
}

static void assert_every_call(mctx_handle handle, mctx_status expected) {
  for (int which = 0; which < CALLS; which++) {
    mctx_status status = call_with(which, handle);
    if (status != expected)
      fail_msg("call %d: %s, not %s", which, mctx_status_name(status), mctx_status_name(expected));
  }
}

static void handles_fit_53_bits_and_tell_their_kind(void **state) {
  (void)state;
  mctx_context context = open_context();
  mctx_publication publication = open_group(context, "239.1.1.1:5000");
  mctx_interface_list list;
  assert_ok(mctx_interface_list_open(&list, NULL));
  assert_int_equal(context >> 48, MCTX_HANDLE_CONTEXT);
  assert_int_equal(publication >> 48, MCTX_HANDLE_PUBLICATION);
  assert_int_equal(list >> 48, MCTX_HANDLE_INTERFACE_LIST);
  assert_true((context | publication | list) < UINT64_C(1) << 53);
  assert_closed(list);
  assert_closed(context);
}

static void zero_and_nonsense_are_invalid(void **state) {
  (void)state;
  static const mctx_handle handles[] = {0, 1, 42, UINT64_MAX, UINT64_C(1) << 63, UINT64_C(1) << 53};
  for (size_t i = 0; i < sizeof handles / sizeof handles[0]; i++) {
    assert_every_call(handles[i], MCTX_ERR_INVALID_HANDLE);
    assert_status(mctx_close(handles[i], NULL), MCTX_ERR_INVALID_HANDLE);
  }
}

static void closed_handles_are_closed_for_every_call(void **state) {
  (void)state;
  mctx_context context = open_context();
  mctx_publication publication = open_group(context, "239.1.1.1:5000");
  mctx_interface_list list;
  assert_ok(mctx_interface_list_open(&list, NULL));
  assert_closed(publication);
  assert_closed(list);
  for (int which = 0; which < CALLS; which++) {
    bool takes_publication = (which >= 6 && which <= 10) || (which >= 13 && which <= 19);
    if (takes_publication) assert_status(call_with(which, publication), MCTX_ERR_CLOSED);
    if (which <= 5) assert_status(call_with(which, list), MCTX_ERR_CLOSED);
  }
  assert_closed(context);
  assert_status(call_with(11, context), MCTX_ERR_CLOSED);
  assert_status(call_with(12, context), MCTX_ERR_CLOSED);
  assert_status(call_with(20, context), MCTX_ERR_CLOSED);
  for (int twice = 0; twice < 2; twice++) {
    mctx_error error = MCTX_ERROR_INIT;
    assert_status(mctx_close(publication, &error), MCTX_ERR_CLOSED);
    assert_int_equal(error.handle, publication);
    assert_status(mctx_close(list, NULL), MCTX_ERR_CLOSED);
    assert_status(mctx_close(context, NULL), MCTX_ERR_CLOSED);
  }
}

static void wrong_kinds_are_told_apart(void **state) {
  (void)state;
  mctx_context context = open_context();
  mctx_publication publication = open_group(context, "239.1.1.1:5000");
  mctx_interface_list list;
  assert_ok(mctx_interface_list_open(&list, NULL));
  for (int which = 0; which < CALLS; which++) {
    bool any = which >= 6 && which <= 10;
    if (which > 5 && !(which == 8)) assert_status(call_with(which, list), MCTX_ERR_WRONG_HANDLE);
    if (which <= 5 || (which >= 13 && which <= 19))
      assert_status(call_with(which, context), MCTX_ERR_WRONG_HANDLE);
    if (!any && (which <= 5 || which == 11 || which == 12 || which == 20))
      assert_status(call_with(which, publication), MCTX_ERR_WRONG_HANDLE);
  }
  assert_status(call_with(8, list), MCTX_ERR_UNSUPPORTED);
  assert_ok(call_with(8, context));
  assert_closed(list);
  assert_closed(context);
}

static void a_context_closes_what_it_owns(void **state) {
  (void)state;
  mctx_context context = open_context();
  mctx_publication one = open_group(context, "239.1.1.1:5000");
  mctx_publication two = open_group(context, "[ff15::1]:5000");
  mctx_context other = open_context();
  mctx_publication foreign = open_group(other, "239.1.1.1:5000");
  assert_closed(context);
  assert_status(mctx_send(one, "x", 1, NULL), MCTX_ERR_CLOSED);
  assert_status(mctx_send(two, "x", 1, NULL), MCTX_ERR_CLOSED);
  assert_status(mctx_close(one, NULL), MCTX_ERR_CLOSED);
  assert_ok(mctx_send(foreign, "x", 1, NULL));
  assert_closed(other);
}

static void a_slot_used_again_does_not_revive_old_handles(void **state) {
  (void)state;
  enum { ROUNDS = 5000 };
  static mctx_context old[ROUNDS];
  for (int i = 0; i < ROUNDS; i++) {
    old[i] = open_context();
    assert_closed(old[i]);
  }
  mctx_context context = open_context();
  for (int i = 0; i < ROUNDS; i++) {
    assert_int_not_equal(old[i], context);
    assert_status(mctx_close(old[i], NULL), MCTX_ERR_CLOSED);
  }
  assert_closed(context);
}

/* One bit away from a live handle is never that object. */
static void forged_handles_are_refused(void **state) {
  (void)state;
  mctx_context context = open_context();
  mctx_publication publication = open_group(context, "239.1.1.1:5000");
  for (int bit = 0; bit < 64; bit++) {
    mctx_handle forged = publication ^ UINT64_C(1) << bit;
    if (forged == context) continue;
    mctx_status status = mctx_send(forged, "x", 1, NULL);
    assert_true(status == MCTX_ERR_INVALID_HANDLE || status == MCTX_ERR_CLOSED ||
                status == MCTX_ERR_WRONG_HANDLE);
    status = mctx_close(forged, NULL);
    assert_true(status == MCTX_ERR_INVALID_HANDLE || status == MCTX_ERR_CLOSED);
  }
  assert_int_equal(mctx_sim_wire_count(), 0);
  assert_ok(mctx_send(publication, "x", 1, NULL));
  assert_closed(context);
}

static void random_bits_are_refused(void **state) {
  (void)state;
  mctx_context context = open_context();
  mctx_publication publication = open_group(context, "239.1.1.1:5000");
  uint64_t seed = 99;
  for (int i = 0; i < 300000; i++) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    mctx_handle random = seed ^ seed >> 29;
    if (i % 3 == 1) random &= (UINT64_C(1) << 53) - 1;
    if (i % 3 == 2) random = (publication & ~UINT64_C(0xfffffffff)) | (random & 0xfffffffff);
    if (random == publication || random == context) continue;
    assert_int_not_equal(call_with(i % CALLS, random), MCTX_OK);
    assert_int_not_equal(mctx_close(random, NULL), MCTX_OK);
  }
  assert_ok(mctx_send(publication, "x", 1, NULL));
  assert_closed(context);
}

/* ---- forks ---- */

static void in_a_child_old_handles_are_forked(void **state) {
  (void)state;
  mctx_context context = open_context();
  mctx_publication publication = open_group(context, "239.1.1.1:5000");
  uint64_t sockets = mctx_sim_open_sockets();
  mctx_sim_become_child();
  mctx_error error = MCTX_ERROR_INIT;
  assert_status(mctx_send(publication, "x", 1, &error), MCTX_ERR_FORKED);
  assert_int_equal(error.kind, MCTX_KIND_CLOSED);
  assert_true(strlen(error.hint) > 0);
  assert_status(mctx_close(context, NULL), MCTX_ERR_FORKED);
  assert_int_equal(mctx_sim_open_sockets(), sockets - 1);
  assert_int_equal(mctx_sim_wire_count(), 0);
  mctx_context fresh = open_context();
  mctx_publication again = open_group(fresh, "239.1.1.1:5000");
  assert_ok(mctx_send(again, "x", 1, NULL));
  assert_closed(fresh);
  assert_status(mctx_send(publication, "x", 1, NULL), MCTX_ERR_FORKED);
  /* the memory of the parent's objects stays the child's loss */
  fixture_before = holdings_now();
}

/* Another thread of the parent may have looked at a slot at that moment, with a handle long closed; it is not
 * there to take its pin off in the child. */
static void in_a_child_nobody_waits_for_threads_of_the_parent(void **state) {
  (void)state;
  mctx_context old = open_context();
  assert_closed(old);
  atomic_fetch_add(&mctx__slot_of(old)->word, 1);
  mctx_sim_become_child();
  alarm(10); /* ends the test if closing waits */
  for (int i = 0; i < MCTX__CHUNK_SLOTS; i++)
    assert_closed(open_context());
  alarm(0);
}

/* ---- threads ---- */

enum { THREADS = 8, SHARED = 16, ROUNDS = 4000 };

static mctx_context shared_context;
static _Atomic mctx_handle shared[SHARED];
static _Atomic uint64_t sent;

static void assert_expected(mctx_status status) {
  if (status != MCTX_OK && status != MCTX_ERR_CLOSED && status != MCTX_ERR_INVALID_HANDLE &&
      status != MCTX_ERR_WOKEN && status != MCTX_ERR_WOULD_BLOCK)
    atomic_fetch_add(&sent, UINT64_C(1) << 48);
}

static void *at_random(void *argument) {
  uint64_t seed = (uint64_t)(uintptr_t)argument * 2654435761u + 1;
  mctx_publication_options options = options_for("239.1.1.1:5000");
  options.flags = MCTX_PUBLICATION_DUPLICATE;
  for (int i = 0; i < ROUNDS; i++) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    _Atomic mctx_handle *slot = &shared[(seed >> 40) % SHARED];
    mctx_publication opened = 0;
    uint32_t ready, count;
    mctx_slice slices[3] = {{.length = 0}, {.length = 0}, {.length = 0}};
    switch ((seed >> 56) % 8) {
      case 0:
        assert_expected(mctx_publication_open(shared_context, &options, &opened, NULL));
        opened = atomic_exchange(slot, opened);
        if (opened != 0) assert_expected(mctx_close(opened, NULL));
        break;
      case 1:
        assert_expected(mctx_close(atomic_load(slot), NULL));
        break;
      case 2:
        assert_expected(mctx_wake(atomic_load(slot)));
        break;
      case 3:
        assert_expected(mctx_wait(atomic_load(slot), MCTX_WRITABLE, 0, -1, &ready, NULL));
        break;
      case 4:
        assert_expected(mctx_send_all(shared_context, "all", 3, NULL, 0, 0, &count, NULL));
        break;
      case 5:
        assert_expected(mctx_send_batch(atomic_load(slot), slices, 3, 0, -1, NULL, NULL));
        break;
      case 6:
        assert_expected(mctx_metrics(shared_context, NULL, 0, &count, NULL));
        break;
      default:
        if (mctx_send(atomic_load(slot), "x", 1, NULL) == MCTX_OK) atomic_fetch_add(&sent, 1);
    }
  }
  return NULL;
}

static void threads_open_send_and_close_at_random(void **state) {
  (void)state;
  pthread_t threads[THREADS];
  atomic_store(&sent, 0);
  shared_context = open_context();
  for (uintptr_t i = 0; i < THREADS; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, at_random, (void *)(i + 1)), 0);
  for (int i = 0; i < THREADS; i++)
    assert_int_equal(pthread_join(threads[i], NULL), 0);
  assert_true(atomic_load(&sent) > 0);
  assert_true(atomic_load(&sent) < UINT64_C(1) << 48);
  assert_closed(shared_context);
  for (int i = 0; i < SHARED; i++)
    atomic_store(&shared[i], 0);
}

/* ---- closing one object at the same moment ---- */

enum { CLOSERS = 3, TURNS = 3000 };

static _Atomic mctx_handle target;
static _Atomic uint32_t turn; /* goes up when the next target is there */
static _Atomic uint32_t finished;
static _Atomic uint32_t winners;

static void *close_in_turn(void *argument) {
  (void)argument;
  for (uint32_t i = 1; i <= TURNS; i++) {
    while (atomic_load(&turn) < i)
      sched_yield();
    mctx_status status = mctx_close(atomic_load(&target), NULL);
    if (status != MCTX_ERR_CLOSED) atomic_fetch_add(&winners, status == MCTX_OK ? 1 : 1000);
    atomic_fetch_add(&finished, 1);
  }
  return NULL;
}

static void exactly_one_of_many_closers_wins(void **state) {
  (void)state;
  pthread_t threads[CLOSERS];
  atomic_store(&turn, 0);
  for (int i = 0; i < CLOSERS; i++)
    assert_int_equal(pthread_create(&threads[i], NULL, close_in_turn, NULL), 0);
  for (uint32_t i = 1; i <= TURNS; i++) {
    mctx_context context = open_context();
    mctx_publication publication = open_group(context, "239.1.1.1:5000");
    atomic_store(&target, i % 2 ? context : publication);
    atomic_store(&winners, 0);
    atomic_store(&finished, 0);
    atomic_store(&turn, i);
    while (atomic_load(&finished) < CLOSERS)
      sched_yield();
    assert_int_equal(atomic_load(&winners), 1);
    if (i % 2 == 0) assert_closed(context);
  }
  for (int i = 0; i < CLOSERS; i++)
    assert_int_equal(pthread_join(threads[i], NULL), 0);
}

/* ---- healing while others look ---- */

static _Atomic uint32_t healed;

static void *open_the_same(void *argument) {
  mctx_publication_options options = options_for("[ff12::1]:5000");
  mctx_publication opened;
  uint32_t *others = argument;
  options.outgoing_interface.by = MCTX_INTERFACE_BY_NAME;
  options.outgoing_interface.name = "eth1";
  while (atomic_load(&healed) == 0) {
    mctx_status status = mctx_publication_open(shared_context, &options, &opened, NULL);
    if (status == MCTX_OK)
      (void)mctx_close(opened, NULL);
    else if (status != MCTX_ERR_PUBLICATION_EXISTS && status != MCTX_ERR_INTERFACE_NOT_FOUND)
      (*others)++;
  }
  return NULL;
}

static void an_interface_is_followed_while_others_open(void **state) {
  (void)state;
  pthread_t thread;
  uint32_t others = 0;
  mctx_address address = address_of("fe80::7/64");
  mctx_publication_options options = options_for("[ff12::1]:5000");
  options.outgoing_interface.by = MCTX_INTERFACE_BY_NAME;
  options.outgoing_interface.name = "eth1";
  shared_context = open_context();
  mctx_publication publication = open_with(shared_context, &options);
  atomic_store(&healed, 0);
  assert_int_equal(pthread_create(&thread, NULL, open_the_same, &others), 0);
  for (uint32_t i = 0; i < 2000; i++) {
    uint32_t now = i % 2 ? 3 : 4;
    assert_true(mctx_sim_interface_remove(7 - now));
    assert_true(mctx_sim_interface_set(now, "eth1", MCTX_INTERFACE_UP, 1500));
    assert_true(mctx_sim_address_add(now, &address));
    mctx_sim_wire_clear();
    assert_ok(mctx_send(publication, "x", 1, NULL));
    assert_int_equal(wire_at(0).interface_index, now);
  }
  atomic_store(&healed, 1);
  assert_int_equal(pthread_join(thread, NULL), 0);
  assert_int_equal(others, 0);
  assert_closed(shared_context);
}

int main(void) {
  static const struct CMUnitTest tests[] = {
      fixture_test(handles_fit_53_bits_and_tell_their_kind),
      fixture_test(zero_and_nonsense_are_invalid),
      fixture_test(closed_handles_are_closed_for_every_call),
      fixture_test(wrong_kinds_are_told_apart),
      fixture_test(a_context_closes_what_it_owns),
      fixture_test(a_slot_used_again_does_not_revive_old_handles),
      fixture_test(forged_handles_are_refused),
      fixture_test(random_bits_are_refused),
      fixture_test(threads_open_send_and_close_at_random),
      fixture_test(exactly_one_of_many_closers_wins),
      fixture_test(an_interface_is_followed_while_others_open),
      fixture_test(in_a_child_old_handles_are_forked),
      fixture_test(in_a_child_nobody_waits_for_threads_of_the_parent),
  };
  return cmocka_run_group_tests_name("handle", tests, NULL, NULL);
}
