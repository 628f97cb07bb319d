/* SPDX-License-Identifier: MIT */
/* Batches that outrun a small send buffer and a slow device queue: what the kernel accepted is what arrives, as
 * far as the settings promise it. Receivers on this host and behind the slow link count. The lines "figures:
 * ..." are what docs/sending.md tells. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "host/recorder.h"

enum { COUNT = 200, LENGTH = 1000, QUIET_MS = 80, SMALL_BUFFER = 1, SOON_NS = 300000000, TRIES = 20 };

/* A link of 8 Mbit/s with room for about twenty datagrams. */
#define SLOW "rate 8mbit burst 4kb limit 20kb"
/* The same with room for all of them: only the send buffer is in the way. */
#define ROOMY "rate 8mbit burst 4kb limit 1mb"

static void slow_down(const char *how) {
  if (!host_try("tc qdisc replace dev va root tbf %s", how)) SKIP("this host has no tbf queue (tc, sch_tbf)");
}

/* That time was kept to within SOON_NS, on a machine that others use too: once in a few tries. */
static bool is_in_time(int64_t spent_ns, int64_t given_ns, int tries) {
  assert_true(spent_ns >= given_ns);
  if (spent_ns < given_ns + SOON_NS) return true;
  if (tries == TRIES) fail_msg("%d ms, not %d", (int)(spent_ns / MILLI), (int)(given_ns / MILLI));
  return false;
}

/* ---- one trial ---- */

typedef enum way { SEND, BATCH, SEGMENTS, RESUMED } way;

typedef struct trial {
  uint32_t family;
  int32_t error_queue;
  int32_t loopback;
  way how;
  int64_t timeout_ns;
  int64_t send_buffer;
  int32_t offload; /* mostly 0: a full queue may tear superpackets */
} trial;

typedef struct outcome {
  mctx_status status;
  mctx_error error;
  mctx_publication_info info;
  uint64_t accepted;
  uint64_t counted; /* by the publication itself */
  uint64_t superpackets;
  bool taken[COUNT];
  int64_t spent_ns;
  recorder *local;
  recorder *remote;
} outcome;

static unsigned char payloads[COUNT][LENGTH];
static mctx_slice slices[COUNT];

static void send_each(mctx_publication publication, outcome *result) {
  for (uint32_t i = 0; i < COUNT; i++) {
    mctx_status status = mctx_send(publication, payloads[i], LENGTH, &result->error);
    result->taken[i] = status == MCTX_OK;
    result->accepted += result->taken[i];
    if (status != MCTX_OK) result->status = status;
  }
}

/* The caller goes on himself where the library stopped. */
static void send_resumed(mctx_publication publication, outcome *result) {
  while (result->accepted < COUNT) {
    uint64_t more = 0;
    size_t rest = (size_t)(COUNT - result->accepted);
    result->status = mctx_send_batch(publication, slices + result->accepted, rest < 50 ? rest : 50, 0, 0, &more,
                                     &result->error);
    result->accepted += more;
    if (result->status == MCTX_OK) continue;
    assert_true(result->status == MCTX_ERR_QUEUE_FULL || result->status == MCTX_ERR_WOULD_BLOCK);
    assert_int_equal(result->error.item, more);
    sleep_ms(3);
  }
}

static void send_all_of_them(const trial *wanted, mctx_publication publication, outcome *result) {
  switch (wanted->how) {
    case SEND:
      send_each(publication, result);
      break;
    case BATCH:
      result->status =
          mctx_send_batch(publication, slices, COUNT, 0, wanted->timeout_ns, &result->accepted, &result->error);
      break;
    case SEGMENTS:
      result->status = mctx_send_segments(publication, payloads, sizeof payloads, LENGTH, 0, wanted->timeout_ns,
                                          &result->accepted, &result->error);
      break;
    case RESUMED:
      send_resumed(publication, result);
      break;
  }
}

static const char *name_of(way how) {
  static const char *const names[] = {"send", "batch", "segments", "resumed"};
  return names[how];
}

/* A full queue or buffer is no reason to send without offload. */
static void assert_offload_untouched(mctx_publication publication, const mctx_publication_info *before) {
  const mctx_publication_info after = info_of(publication);
  assert_int_equal(metric_of(publication, MCTX_HANDLE_PUBLICATION, "offload_refusals"), 0);
  assert_int_equal(after.segment_count_limit, before->segment_count_limit);
  assert_int_equal(after.segment_size_limit, before->segment_size_limit);
  assert_int_equal(after.offload_status, MCTX_OK);
}

static outcome run(const trial *wanted) {
  outcome result = {.error = MCTX_ERROR_INIT};
  result.local = recorder_start(receiver_open(group_of(wanted->family), "va"), LENGTH);
  result.remote = recorder_start(receiver_there(group_of(wanted->family), "vb"), LENGTH);
  mctx_context context = open_context();
  mctx_publication_options options = options_through(group_of(wanted->family), "va");
  options.error_queue = wanted->error_queue;
  options.loopback = wanted->loopback;
  options.send_buffer = wanted->send_buffer;
  options.offload = wanted->offload;
  mctx_publication publication = open_with(context, &options);
  result.info = info_of(publication);
  numbered_slices(slices, payloads, LENGTH, 0, COUNT);
  int64_t start = now_ns();
  send_all_of_them(wanted, publication, &result);
  result.spent_ns = now_ns() - start;
  result.counted = metric_of(publication, MCTX_HANDLE_PUBLICATION, "packets_sent");
  bool is_whole =
      result.info.offload == 0 && (result.info.error_queue != 0 || wanted->send_buffer == SMALL_BUFFER);
  result.superpackets = metric_of(publication, MCTX_HANDLE_PUBLICATION, "superpackets_sent");
  assert_offload_untouched(publication, &result.info);
  recorder_finish(result.remote, is_whole ? result.accepted : 1, QUIET_MS);
  recorder_finish(result.local, 0, 0); /* by the loop, before the queue */
  assert_ok(mctx_close(context, NULL));
  assert_int_equal(result.counted, result.accepted);
  print_message(
      "figures: IPv%u error_queue %d loopback %d %s, wait %d ms: accepted %u of %d, remote %u, "
      "local %u, %s after %d ms\n",
      wanted->family, result.info.error_queue, wanted->loopback, name_of(wanted->how),
      wanted->timeout_ns < 0 ? -1 : (int)(wanted->timeout_ns / MILLI), (unsigned)result.accepted, COUNT,
      result.remote->count, result.local->count, mctx_status_name(result.status),
      (int)(result.spent_ns / MILLI));
  return result;
}

static void forget(outcome *result) {
  free(result->local);
  free(result->remote);
}

/* ---- a small send buffer ---- */

static void a_full_buffer_ends_a_batch_that_may_not_wait(void **state) {
  uint32_t family = host_family(state);
  host_pair();
  slow_down(ROOMY);
  for (int32_t each = 0; each < 8; each++) {
    way how = each % 2 == 0 ? BATCH : SEGMENTS;
    int32_t loopback = each / 2 % 2;
    outcome result = run(&(trial){family, MCTX_AUTO, loopback, how, 0, SMALL_BUFFER, each / 4});
    assert_status(result.status, MCTX_ERR_WOULD_BLOCK);
    assert_in_range(result.accepted, 1, COUNT - 1);
    assert_int_equal(result.error.item, result.accepted);
    assert_int_equal(result.error.retry, MCTX_RETRY_WHEN_READY);
    assert_prefix(result.remote, result.accepted);
    assert_prefix(result.local, loopback != 0 ? result.accepted : 0);
    forget(&result);
  }
}

static void a_batch_waits_for_a_full_buffer(void **state) {
  uint32_t family = host_family(state);
  host_pair();
  slow_down(ROOMY);
  for (int32_t each = 0; each < 8; each++) {
    way how = each % 2 == 0 ? BATCH : SEGMENTS;
    int32_t error_queue = each / 2 % 2;
    outcome result = run(&(trial){family, error_queue, error_queue, how, -1, SMALL_BUFFER, each / 4});
    assert_ok(result.status);
    assert_int_equal(result.accepted, COUNT);
    assert_prefix(result.remote, COUNT);
    assert_prefix(result.local, result.info.loopback != 0 ? COUNT : 0);
    forget(&result);
  }
}

static void the_time_for_a_batch_is_kept(void **state) {
  uint32_t family = host_family(state);
  host_pair();
  slow_down(ROOMY);
  bool is_kept = false;
  for (int tries = 1; !is_kept; tries++) {
    outcome result = run(&(trial){family, MCTX_AUTO, 0, BATCH, 100 * MILLI, SMALL_BUFFER, 0});
    assert_status(result.status, MCTX_ERR_TIMEOUT);
    assert_in_range(result.accepted, 1, COUNT - 1);
    assert_int_equal(result.error.item, result.accepted);
    assert_prefix(result.remote, result.accepted);
    is_kept = is_in_time(result.spent_ns, 100 * MILLI, tries);
    forget(&result);
  }
}

/* ---- a full device queue ---- */

/* Error queue on, loopback off, no superpackets: that is so where the error queue was asked for. */
static void accepted_is_what_arrives(void **state) {
  uint32_t family = host_family(state);
  host_pair();
  slow_down(SLOW);
  for (way how = BATCH; how <= SEGMENTS; how++) {
    for (int32_t asked = 0; asked <= 1; asked++) {
      outcome result = run(&(trial){family, asked ? 1 : MCTX_AUTO, 0, how, 0, 0, asked ? MCTX_AUTO : 0});
      assert_int_equal(result.info.error_queue, 1);
      assert_int_equal(result.info.offload, 0);
      assert_int_equal(result.info.segment_count_limit, 1);
      assert_status(result.status, MCTX_ERR_QUEUE_FULL);
      assert_int_equal(result.error.os_code, 105); /* ENOBUFS */
      assert_int_equal(result.error.retry, MCTX_RETRY_AFTER_DELAY);
      assert_int_equal(result.error.flags, 0);
      assert_int_equal(result.error.item, result.accepted);
      assert_in_range(result.accepted, 1, COUNT - 1);
      assert_prefix(result.remote, result.accepted);
      assert_prefix(result.local, 0);
      forget(&result);
    }
  }
}

static void a_batch_waits_for_a_full_queue(void **state) {
  uint32_t family = host_family(state);
  host_pair();
  slow_down(SLOW);
  for (way how = BATCH; how <= RESUMED; how++) {
    outcome result = run(&(trial){family, 1, 0, how, -1, 0, MCTX_AUTO});
    assert_ok(result.status);
    assert_int_equal(result.accepted, COUNT);
    assert_prefix(result.remote, COUNT);
    assert_prefix(result.local, 0);
    forget(&result);
  }
}

static void a_batch_waits_no_longer_than_asked_for_a_full_queue(void **state) {
  uint32_t family = host_family(state);
  host_pair();
  slow_down(SLOW);
  bool is_kept = false;
  for (int tries = 1; !is_kept; tries++) {
    outcome result = run(&(trial){family, 1, 0, BATCH, 100 * MILLI, 0, 0});
    assert_status(result.status, MCTX_ERR_TIMEOUT);
    assert_prefix(result.remote, result.accepted);
    is_kept = is_in_time(result.spent_ns, 100 * MILLI, tries);
    forget(&result);
  }
}

/* The queue cuts a superpacket, takes what fits, and calls that a success: what was accepted may be missing,
 * with the error queue too. So it is where the error queue was not asked for, or offload was. */
static void a_full_queue_may_tear_superpackets(void **state) {
  static const int64_t timeouts[] = {0, -1};
  uint32_t family = host_family(state);
  host_pair();
  slow_down(SLOW);
  for (way how = BATCH; how <= SEGMENTS; how++)
    for (size_t i = 0; i < sizeof timeouts / sizeof timeouts[0]; i++) {
      bool asked = i % 2 == 0;
      outcome result =
          run(&(trial){family, asked ? 1 : MCTX_AUTO, 0, how, timeouts[i], 0, asked ? 1 : MCTX_AUTO});
      assert_int_equal(result.info.offload, 1);
      assert_int_equal(result.info.error_queue, 1);
      assert_true(result.superpackets > 0);
      assert_status(result.status, result.accepted == COUNT ? MCTX_OK : MCTX_ERR_QUEUE_FULL);
      assert_rising(result.remote);
      assert_in_range(result.remote->count, 1, result.accepted - 1);
      assert_true(result.remote->numbers[result.remote->count - 1] < result.accepted);
      assert_prefix(result.local, 0);
      forget(&result);
    }
}

/* What is never faster than the link finds room in its queue, superpackets too. */
static void a_pace_below_the_links_loses_nothing(void **state) {
  uint32_t family = host_family(state);
  host_pair();
  slow_down(SLOW);
  numbered_slices(slices, payloads, LENGTH, 0, COUNT);
  for (way how = BATCH; how <= SEGMENTS; how++) {
    outcome result = {.error = MCTX_ERROR_INIT};
    recorder *remote = recorder_start(receiver_there(group_of(family), "vb"), LENGTH);
    mctx_context context = open_context();
    mctx_publication_options options = options_through(group_of(family), "va");
    options.loopback = 0;
    options.pacing_rate = 6000000;
    mctx_publication publication = open_with(context, &options);
    send_all_of_them(&(trial){.how = how, .timeout_ns = -1}, publication, &result);
    assert_ok(result.status);
    assert_true(metric_of(publication, MCTX_HANDLE_PUBLICATION, "superpackets_sent") > 0);
    recorder_finish(remote, COUNT, QUIET_MS);
    assert_prefix(remote, COUNT);
    free(remote);
    assert_ok(mctx_close(context, NULL));
  }
}

static void single_sends_that_were_accepted_arrive(void **state) {
  uint32_t family = host_family(state);
  host_pair();
  slow_down(SLOW);
  outcome result = run(&(trial){family, MCTX_AUTO, 0, SEND, 0, 0, 0});
  uint32_t at = 0;
  assert_status(result.status, MCTX_ERR_QUEUE_FULL);
  assert_rising(result.remote);
  assert_int_equal(result.remote->count, result.accepted);
  for (uint32_t i = 0; i < COUNT; i++)
    if (result.taken[i]) assert_int_equal(result.remote->numbers[at++], i);
  forget(&result);
}

/* Error queue on, loopback on: what the queue refused has been delivered here, so it goes out never again. */
static void with_loopback_the_refused_datagram_was_delivered_here(void **state) {
  static const int64_t timeouts[] = {0, -1, 500 * MILLI};
  uint32_t family = host_family(state);
  host_pair();
  slow_down(SLOW);
  for (way how = BATCH; how <= SEGMENTS; how++)
    for (size_t i = 0; i < sizeof timeouts / sizeof timeouts[0]; i++) {
      bool is_at_once = false;
      for (int tries = 1; !is_at_once; tries++) {
        outcome result = run(&(trial){family, 1, 1, how, timeouts[i], 0, 1});
        assert_status(result.status, MCTX_ERR_QUEUE_FULL);
        assert_int_equal(result.error.flags, MCTX_ERROR_DELIVERED_LOCALLY);
        assert_int_equal(result.error.retry, MCTX_RETRY_NEVER);
        assert_int_equal(result.error.item, result.accepted);
        assert_in_range(result.accepted, 1, COUNT - 1);
        assert_prefix(result.remote, result.accepted);
        assert_prefix(result.local, result.accepted + 1);
        assert_int_equal(result.info.offload, 0); /* whatever was asked for */
        assert_int_equal(result.info.segment_count_limit, 1);
        assert_int_equal(result.superpackets, 0);
        is_at_once = is_in_time(result.spent_ns, 0, tries);
        forget(&result);
      }
    }
}

static void with_loopback_single_sends_reach_this_host_once(void **state) {
  uint32_t family = host_family(state);
  host_pair();
  slow_down(SLOW);
  outcome result = run(&(trial){family, 1, 1, SEND, 0, 0, 0});
  assert_status(result.status, MCTX_ERR_QUEUE_FULL);
  assert_int_equal(result.error.flags, MCTX_ERROR_DELIVERED_LOCALLY);
  assert_int_equal(result.error.retry, MCTX_RETRY_NEVER);
  assert_rising(result.remote);
  assert_int_equal(result.remote->count, result.accepted);
  assert_prefix(result.local, COUNT);
  forget(&result);
}

/* Error queue off, the default of loopback on: all is accepted, and the device queue drops without a word. */
static void without_the_error_queue_nothing_is_refused(void **state) {
  uint32_t family = host_family(state);
  host_pair();
  slow_down(SLOW);
  for (way how = SEND; how <= SEGMENTS; how++) {
    for (int32_t loopback = 0; loopback <= 1; loopback++) {
      outcome result = run(&(trial){family, loopback != 0 ? MCTX_AUTO : 0, loopback, how, 0, 4 << 20, 0});
      assert_int_equal(result.info.error_queue, 0);
      assert_ok(result.status);
      assert_int_equal(result.accepted, COUNT);
      assert_rising(result.remote);
      assert_in_range(result.remote->count, 1, COUNT - 1);
      assert_prefix(result.local, loopback != 0 ? COUNT : 0);
      forget(&result);
    }
  }
}

/* ---- the second without progress ---- */

/* Its fragments never find room for all of them, while the socket is writable all the time. */
static void a_datagram_that_never_goes_is_reported_after_a_second(void **state) {
  enum { LARGE = 6000 };
  static unsigned char large[LARGE];
  uint32_t family = host_family(state);
  mctx_slice slice = {.data = large, .length = LARGE};
  mctx_error error = MCTX_ERROR_INIT;
  uint64_t accepted = 1;
  uint32_t ready;
  host_pair();
  slow_down("rate 1mbit burst 2kb limit 2kb");
  recorder *remote = recorder_start(receiver_there(group_of(family), "vb"), LARGE);
  mctx_context context = open_context();
  mctx_publication_options options = options_through(group_of(family), "va");
  options.loopback = 0;
  mctx_publication publication = open_with(context, &options);
  assert_status(mctx_send(publication, large, LARGE, &error), MCTX_ERR_QUEUE_FULL);
  assert_ok(mctx_wait(publication, MCTX_WRITABLE, 0, 0, &ready, NULL));

  bool is_in_a_second = false;
  for (int tries = 1; !is_in_a_second; tries++) {
    int64_t start = now_ns();
    assert_status(mctx_send_batch(publication, &slice, 1, 0, -1, &accepted, &error), MCTX_ERR_QUEUE_FULL);
    is_in_a_second = is_in_time(now_ns() - start, SECOND, tries);
    assert_int_equal(accepted, 0);
    assert_int_equal(error.retry, MCTX_RETRY_AFTER_DELAY);
  }
  bool is_kept = false;
  for (int tries = 1; !is_kept; tries++) {
    int64_t start = now_ns();
    assert_status(mctx_send_batch(publication, &slice, 1, 0, 200 * MILLI, &accepted, &error), MCTX_ERR_TIMEOUT);
    is_kept = is_in_time(now_ns() - start, 200 * MILLI, tries);
    assert_int_equal(accepted, 0);
  }
  recorder_finish(remote, 0, QUIET_MS);
  assert_prefix(remote, 0);
  free(remote);
  assert_ok(mctx_close(context, NULL));
}

/* The second starts anew with each datagram that goes. */
static void slow_progress_is_progress(void **state) {
  enum { FEW = 7 };
  uint32_t family = host_family(state);
  uint64_t accepted = 0;
  host_pair();
  slow_down("rate 28kbit burst 1600 limit 2kb"); /* a datagram in 0.3 s */
  numbered_slices(slices, payloads, LENGTH, 0, COUNT);
  recorder *remote = recorder_start(receiver_there(group_of(family), "vb"), LENGTH);
  mctx_context context = open_context();
  mctx_publication_options options = options_through(group_of(family), "va");
  options.loopback = 0;
  options.offload = 0;
  mctx_publication publication = open_with(context, &options);
  int64_t start = now_ns();
  assert_ok(mctx_send_batch(publication, slices, FEW, 0, -1, &accepted, NULL));
  assert_true(now_ns() - start > SECOND + 100 * MILLI);
  assert_int_equal(accepted, FEW);
  recorder_finish(remote, FEW, QUIET_MS);
  assert_prefix(remote, FEW);
  free(remote);
  assert_ok(mctx_close(context, NULL));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      BOTH_FAMILIES(a_full_buffer_ends_a_batch_that_may_not_wait),
      BOTH_FAMILIES(a_batch_waits_for_a_full_buffer),
      BOTH_FAMILIES(the_time_for_a_batch_is_kept),
      BOTH_FAMILIES(accepted_is_what_arrives),
      BOTH_FAMILIES(a_batch_waits_for_a_full_queue),
      BOTH_FAMILIES(a_batch_waits_no_longer_than_asked_for_a_full_queue),
      BOTH_FAMILIES(a_full_queue_may_tear_superpackets),
      BOTH_FAMILIES(a_pace_below_the_links_loses_nothing),
      BOTH_FAMILIES(single_sends_that_were_accepted_arrive),
      BOTH_FAMILIES(with_loopback_the_refused_datagram_was_delivered_here),
      BOTH_FAMILIES(with_loopback_single_sends_reach_this_host_once),
      BOTH_FAMILIES(without_the_error_queue_nothing_is_refused),
      BOTH_FAMILIES(a_datagram_that_never_goes_is_reported_after_a_second),
      BOTH_FAMILIES(slow_progress_is_progress),
  };
  stay_on_one_processor();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
