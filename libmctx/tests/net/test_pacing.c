/* SPDX-License-Identifier: MIT */
/* A publication that is held to a rate. It is never faster than the rate and its burst allow, whatever the
 * machine does meanwhile: that is judged exactly, by the sender's clock around its calls and by the kernel's
 * receive times. That it is not much slower is judged by the best of several tries. The lines "figures: ..."
 * tell how near it comes. */
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "host/subscription.h"

enum { TRIES = 40, ENTRIES = 1 << 17, LENGTH_MOST = 1400, PART = 200 };

#define RUN_NS (SECOND / 2)

static const char *const group = "239.7.7.7:5007";

/* ---- what was sent or received, and when ---- */

/* An amount, in units of the rate, and when it went for sure: not before, not after. */
typedef struct entry {
  int64_t begin_ns;
  int64_t end_ns;
  int64_t amount;
} entry;

typedef struct record {
  uint32_t count;
  entry entries[ENTRIES];
} record;

static void note(record *own, int64_t begin_ns, int64_t end_ns, int64_t amount) {
  if (own->count < ENTRIES) own->entries[own->count++] = (entry){begin_ns, end_ns, amount};
}

static int64_t amount_of(const record *own) {
  int64_t sum = 0;
  for (uint32_t i = 0; i < own->count; i++)
    sum += own->entries[i].amount;
  return sum;
}

/* How much more there was, in any stretch of entries, than the rate yields in its time: what a bucket must have
 * held. */
static int64_t burst_in(const record *own, int64_t rate) {
  double least = 0;
  double worst = 0;
  double sum = 0;
  for (uint32_t i = 0; i < own->count; i++) {
    const entry *each = &own->entries[i];
    const double begin = (double)(each->begin_ns - own->entries[0].begin_ns) / 1e9;
    const double end = (double)(each->end_ns - own->entries[0].begin_ns) / 1e9;
    if (i == 0 || sum - (double)rate * begin < least) least = sum - (double)rate * begin;
    sum += (double)each->amount;
    if (sum - (double)rate * end - least > worst) worst = sum - (double)rate * end - least;
  }
  return (int64_t)(worst + 0.5);
}

/* The same for stretches from the start on: how far it ever was above the line. */
static int64_t above_line(const record *own, int64_t rate, int64_t start_ns) {
  double worst = 0;
  double sum = 0;
  for (uint32_t i = 0; i < own->count; i++) {
    sum += (double)own->entries[i].amount;
    const double line = (double)rate * (double)(own->entries[i].end_ns - start_ns) / 1e9;
    if (sum - line > worst) worst = sum - line;
  }
  return (int64_t)(worst + 0.5);
}

/* ---- a receiver that notes the kernel's times ---- */

typedef struct timekeeper {
  int receiver;
  int32_t unit;
  int64_t offset_ns; /* of the clock of the receive times to ours */
  pthread_t thread;
  _Atomic bool enough;
  record arrivals;
} timekeeper;

static int64_t offset_of_clocks(void) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  return now.tv_sec * SECOND + now.tv_nsec - now_ns();
}

static int64_t units_of(int32_t unit, uint64_t bytes) {
  return unit == MCTX_PACING_BITS ? (int64_t)bytes * 8 : 1;
}

static int64_t time_in(struct msghdr *message) {
  for (struct cmsghdr *each = CMSG_FIRSTHDR(message); each != NULL; each = CMSG_NXTHDR(message, each)) {
    struct timespec when;
    if (each->cmsg_level != SOL_SOCKET || each->cmsg_type != SO_TIMESTAMPNS) continue;
    memcpy(&when, CMSG_DATA(each), sizeof when);
    return when.tv_sec * SECOND + when.tv_nsec;
  }
  return 0;
}

static void *keep_time(void *argument) {
  timekeeper *own = argument;
  struct pollfd watched = {.fd = own->receiver, .events = POLLIN};
  while (!own->enough || poll(&watched, 1, 0) == 1) {
    unsigned char data[LENGTH_MOST];
    _Alignas(struct cmsghdr) unsigned char control[512];
    struct iovec payload = {data, sizeof data};
    struct msghdr message = {
        .msg_iov = &payload, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    if (poll(&watched, 1, 5) != 1) continue;
    ssize_t length = recvmsg(own->receiver, &message, MSG_DONTWAIT);
    if (length < 0) continue;
    const int64_t when = time_in(&message) - own->offset_ns;
    note(&own->arrivals, when, when, units_of(own->unit, (uint64_t)length));
  }
  return NULL;
}

/* The kernel starts to take times a moment after the first socket asks for them; until then it tells when a
 * datagram was read. */
static void await_times(const timekeeper *own) {
  mctx_address to = address_of(group);
  int sender = sender_open(4, NULL, "lo");
  bool begun = false;
  for (int i = 0; i < 500 && !begun; i++) {
    unsigned char data[8];
    _Alignas(struct cmsghdr) unsigned char control[512];
    struct iovec payload = {data, sizeof data};
    struct msghdr message = {
        .msg_iov = &payload, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
    send_text(sender, &to, "x");
    const int64_t sent = now_ns();
    sleep_ms(2);
    assert_int_equal(1, recvmsg(own->receiver, &message, 0));
    begun = time_in(&message) - own->offset_ns < sent + MILLI;
  }
  assert_true(begun);
  close(sender);
}

static void timekeeper_start(timekeeper *own, int32_t unit) {
  int on = 1;
  own->receiver = receiver_open(group, "lo");
  assert_int_equal(0, setsockopt(own->receiver, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof on));
  own->unit = unit;
  own->enough = false;
  own->arrivals.count = 0;
  own->offset_ns = offset_of_clocks();
  await_times(own);
  assert_int_equal(0, pthread_create(&own->thread, NULL, keep_time, own));
}

#define CLOCKS_APART_NS MILLI /* as far as two clocks may run apart in a test */

/* What a rate yields in that time. */
static int64_t unsure(int64_t rate) {
  return rate * CLOCKS_APART_NS / SECOND;
}

static int by_time(const void *one, const void *other) {
  const int64_t a = ((const entry *)one)->end_ns;
  const int64_t b = ((const entry *)other)->end_ns;
  return (a > b) - (a < b);
}

/* Whether its times are to be trusted: nobody set the clock meanwhile. What two processors take in at once may
 * be queued in another order than that of its times. */
static bool timekeeper_stop(timekeeper *own) {
  own->enough = true;
  assert_int_equal(0, pthread_join(own->thread, NULL));
  close(own->receiver);
  qsort(own->arrivals.entries, own->arrivals.count, sizeof own->arrivals.entries[0], by_time);
  return llabs(offset_of_clocks() - own->offset_ns) < CLOCKS_APART_NS;
}

/* ---- ways to send ---- */

typedef enum way { WAITING, WAITING_SEGMENTS, ONE_BY_ONE, RESUMED } way;

typedef struct pace {
  const char *name;
  way how;
  int32_t unit;
  int64_t rate;
  int64_t burst; /* 0: the default */
  uint32_t length;
  int32_t offload;
  int near; /* percent of the rate that a busy machine reaches at its best: a sleeper that wakes late loses what
               the bucket cannot hold */
} pace;

static unsigned char payloads[PART * LENGTH_MOST];
static mctx_slice slices[PART];

static mctx_publication open_paced(mctx_context context, const pace *wanted) {
  mctx_publication_options options = options_through(group, "lo");
  options.pacing_unit = wanted->unit;
  options.pacing_rate = wanted->rate;
  options.pacing_burst = wanted->burst;
  options.offload = wanted->offload;
  for (uint32_t i = 0; i < PART; i++)
    slices[i] = (mctx_slice){.data = payloads + i * wanted->length, .length = wanted->length};
  mctx_publication publication = open_with(context, &options);
  mctx_publication_info info = info_of(publication);
  assert_int_equal(info.pacing_by, MCTX_PACING_LIBRARY); /* lo has no queue */
  assert_int_equal(info.pacing_rate, wanted->rate);
  assert_int_equal(info.pacing_unit, wanted->unit);
  assert_int_equal(info.pacing_burst, wanted->burst != 0 ? wanted->burst : wanted->rate / 100);
  return publication;
}

/* What a paced answer says is what a paced answer should say. */
static void assert_paced(mctx_publication publication, const mctx_error *error, const pace *wanted) {
  mctx_publication_info info = info_of(publication);
  const int64_t cost = units_of(wanted->unit, wanted->length);
  const int64_t needed = cost < info.pacing_burst ? cost : info.pacing_burst;
  const int64_t debt = cost - needed; /* of a datagram that was larger than the bucket */
  assert_status(error->status, MCTX_ERR_PACED);
  assert_int_equal(error->kind, MCTX_KIND_WOULD_BLOCK);
  assert_int_equal(error->retry, MCTX_RETRY_AFTER_DELAY);
  assert_in_range(error->value, 0, (needed + debt) * SECOND / wanted->rate + 1);
}

static void sleep_ns(uint64_t duration) {
  struct timespec pause = {(time_t)(duration / (uint64_t)SECOND), (long)(duration % (uint64_t)SECOND)};
  nanosleep(&pause, NULL);
}

/* One call that takes some; returns how many. */
static uint64_t send_part(mctx_publication publication, const pace *wanted, uint64_t count) {
  mctx_error error = MCTX_ERROR_INIT;
  uint64_t accepted = 0;
  switch (wanted->how) {
    case WAITING:
      assert_ok(mctx_send_batch(publication, slices, count, 0, -1, &accepted, &error));
      break;
    case WAITING_SEGMENTS:
      assert_ok(mctx_send_segments(publication, payloads, count * wanted->length, wanted->length, 0, -1,
                                   &accepted, &error));
      break;
    case ONE_BY_ONE:
      accepted = mctx_send(publication, payloads, wanted->length, &error) == MCTX_OK;
      break;
    case RESUMED:
      if (mctx_send_batch(publication, slices, count, 0, 0, &accepted, &error) != MCTX_OK)
        assert_int_equal(error.item, accepted);
  }
  if (error.status == MCTX_OK) return accepted;
  assert_paced(publication, &error, wanted);
  sleep_ns(error.value);
  return accepted;
}

/* As many in a call as the rate yields in 20 ms. */
static uint64_t part_of(const pace *wanted) {
  const uint64_t count = (uint64_t)(wanted->rate / 50 / units_of(wanted->unit, wanted->length));
  return count < 1 ? 1 : count < PART ? count : PART;
}

static void send_for_a_while(mctx_publication publication, const pace *wanted, record *calls) {
  const uint64_t part = part_of(wanted);
  const int64_t start = now_ns();
  calls->count = 0;
  for (int64_t now = start; now - start < RUN_NS;) {
    const uint64_t accepted = send_part(publication, wanted, part);
    const int64_t end = now_ns();
    note(calls, now, end, (int64_t)accepted * units_of(wanted->unit, wanted->length));
    now = end;
  }
}

/* ---- the rate ---- */

/* In percent of the rate, from the first call to the end of the last, whose burst came for nothing. */
static int percent_of(const record *calls, const pace *wanted, int64_t burst) {
  const int64_t spent = calls->entries[calls->count - 1].end_ns - calls->entries[0].begin_ns;
  return (int)((double)(amount_of(calls) - burst) * 100e9 / ((double)wanted->rate * (double)spent) + 0.5);
}

/* One run; returns how near it came to the rate. */
static int run(const pace *wanted) {
  static record calls;
  static timekeeper keeper;
  mctx_context context = open_context();
  timekeeper_start(&keeper, wanted->unit);
  int64_t start = now_ns();
  mctx_publication publication = open_paced(context, wanted);
  const int64_t burst = info_of(publication).pacing_burst;
  send_for_a_while(publication, wanted, &calls);
  bool is_trusted = timekeeper_stop(&keeper);
  const uint64_t superpackets = metric_of(publication, MCTX_HANDLE_PUBLICATION, "superpackets_sent");
  assert_ok(mctx_close(context, NULL));
  if (wanted->offload == 0) assert_int_equal(superpackets, 0);
  if (wanted->offload != 0 && wanted->how != ONE_BY_ONE) assert_true(superpackets > 0);

  const int percent = percent_of(&calls, wanted, burst);
  const int64_t by_calls = burst_in(&calls, wanted->rate);
  const int64_t by_arrivals = burst_in(&keeper.arrivals, wanted->rate);
  const int64_t above = above_line(&keeper.arrivals, wanted->rate, start);
  print_message(
      "figures: %s: %d %% of the rate; bursts by the sender's clock %.2f, by receive times %.2f, above the "
      "line "
      "%.2f of the burst; %u calls, %u superpackets\n",
      wanted->name, percent, (double)by_calls / (double)burst, (double)by_arrivals / (double)burst,
      (double)above / (double)burst, calls.count, (unsigned)superpackets);
  assert_true(by_calls <= burst + 1);
  if (!is_trusted) return percent;
  assert_true(keeper.arrivals.count > 0);
  assert_true(above <= burst + 1 + unsure(wanted->rate));
  /* what was let go before the sender was held up arrives with what is let go after it */
  assert_true(by_arrivals <= 2 * burst + 1 + unsure(wanted->rate));
  return percent;
}

static void the_rate_is_kept(void **state) {
  const pace *wanted = *state;
  int best = 0;
  host_alone();
  for (int i = 0; i < TRIES && best < wanted->near; i++) {
    const int percent = run(wanted);
    if (percent > best) best = percent;
  }
  assert_in_range(best, wanted->near, 101);
}

/* ---- datagrams that are larger than the burst ---- */

/* Each waits for a full bucket, and what it took too much is missing later: the rate is kept all the same. */
static void a_datagram_larger_than_the_burst_goes_when_the_bucket_is_full(void **state) {
  enum { COUNT = 6 };
  static const pace wanted = {"", WAITING, MCTX_PACING_BITS, 160000, 800, 1000, 1, 0}; /* 50 ms each */
  mctx_error error = MCTX_ERROR_INIT;
  uint64_t accepted = 0;
  (void)state;
  host_alone();
  mctx_context context = open_context();
  mctx_publication publication = open_paced(context, &wanted);
  int64_t start = now_ns();
  const mctx_status status = mctx_send_batch(publication, slices, COUNT, 0, 0, &accepted, &error);
  assert_in_range(accepted, 1, 1 + (now_ns() - start) / (50 * MILLI));
  if (accepted < COUNT) {
    assert_status(status, MCTX_ERR_PACED);
    assert_paced(publication, &error, &wanted);
    assert_ok(mctx_send_batch(publication, slices + accepted, COUNT - accepted, 0, -1, &accepted, &error));
  }
  assert_true(now_ns() - start >= (COUNT - 1) * 50 * MILLI);
  assert_ok(mctx_close(context, NULL));
}

/* ---- several threads ---- */

typedef struct sharer {
  pthread_t thread;
  mctx_publication publication;
  const pace *wanted;
  record calls;
} sharer;

static void *share(void *argument) {
  sharer *own = argument;
  send_for_a_while(own->publication, own->wanted, &own->calls);
  return NULL;
}

static void two_threads_share_the_rate(void **state) {
  enum { SHARERS = 2, NEAR = 90 };
  static const pace wanted = {"two threads", WAITING, MCTX_PACING_DATAGRAMS, 20000, 1000, 100, 1, 0};
  static sharer sharers[SHARERS];
  static timekeeper keeper;
  int best = 0;
  (void)state;
  host_alone();
  for (int i = 0; i < TRIES && best < NEAR; i++) {
    int64_t sum = 0;
    mctx_context context = open_context();
    timekeeper_start(&keeper, wanted.unit);
    int64_t start = now_ns();
    mctx_publication publication = open_paced(context, &wanted);
    for (int k = 0; k < SHARERS; k++) {
      sharers[k].publication = publication;
      sharers[k].wanted = &wanted;
      assert_int_equal(0, pthread_create(&sharers[k].thread, NULL, share, &sharers[k]));
    }
    for (int k = 0; k < SHARERS; k++) {
      assert_int_equal(0, pthread_join(sharers[k].thread, NULL));
      sum += amount_of(&sharers[k].calls);
    }
    const int64_t spent = now_ns() - start;
    bool is_trusted = timekeeper_stop(&keeper);
    const int64_t burst = info_of(publication).pacing_burst;
    const int percent = (int)((sum - burst) * 100 * SECOND / wanted.rate / spent);
    const int64_t above = above_line(&keeper.arrivals, wanted.rate, start);
    print_message(
        "figures: two threads: %d and %d datagrams, %d %% of the rate, above the line %.3f of the burst\n",
        (int)amount_of(&sharers[0].calls), (int)amount_of(&sharers[1].calls), percent,
        (double)above / (double)burst);
    assert_true((sum - burst) * SECOND <= wanted.rate * spent);
    if (is_trusted) assert_true(above <= burst + 1 + unsure(wanted.rate));
    if (percent > best) best = percent;
    assert_ok(mctx_close(context, NULL));
  }
  assert_in_range(best, NEAR, 101);
}

/* ---- answers ---- */

/* Sends until the bucket is empty, which fills again while this machine keeps the test waiting; returns how
 * many went. */
static int64_t empty_bucket(mctx_publication publication, const pace *wanted, mctx_error *error) {
  int64_t count = 0;
  while (mctx_send(publication, "x", 1, error) == MCTX_OK)
    count++;
  assert_paced(publication, error, wanted);
  return count;
}

static void sends_that_never_wait_say_when_to_come_back(void **state) {
  static const pace wanted = {"", ONE_BY_ONE, MCTX_PACING_DATAGRAMS, 20, 3, 100, 1, 0};
  mctx_error error = MCTX_ERROR_INIT;
  mctx_send_outcome outcomes[2];
  uint32_t count;
  uint32_t ready;
  (void)state;
  host_alone();
  mctx_context context = open_context();
  const int64_t start = now_ns();
  mctx_publication paced = open_paced(context, &wanted);
  mctx_publication_options options = options_through("239.7.7.8:5007", "lo");
  (void)open_with(context, &options);
  int64_t sent = empty_bucket(paced, &wanted, &error);
  assert_in_range(sent, 3, 3 + (now_ns() - start) * wanted.rate / SECOND);
  assert_string_equal(error.hint, "");
  assert_ok(mctx_wait(paced, MCTX_WRITABLE, 0, 0, &ready, NULL)); /* it is not the socket that waits */
  mctx_status status = MCTX_OK;
  for (int i = 0; i < TRIES && status == MCTX_OK; i++) {
    sent += empty_bucket(paced, &wanted, &error);
    status = mctx_send_all(context, "x", 1, outcomes, sizeof outcomes[0], 2, &count, &error);
    assert_int_equal(count, 2);
    assert_status(outcomes[0].status, status);
    assert_ok(outcomes[1].status);
    sent += status == MCTX_OK;
  }
  assert_status(status, MCTX_ERR_PACED);
  assert_int_equal(metric_of(paced, MCTX_HANDLE_PUBLICATION, "packets_sent"), sent);
  for (int i = 0; i < 3; i++) { /* what it says is enough */
    (void)empty_bucket(paced, &wanted, &error);
    sleep_ns(error.value);
    assert_ok(mctx_send(paced, "x", 1, &error));
  }
  assert_ok(mctx_close(context, NULL));
}

static void a_wait_for_the_pace_ends_in_time(void **state) {
  static const pace wanted = {"", WAITING, MCTX_PACING_DATAGRAMS, 20, 1, 100, 1, 0};
  mctx_error error = MCTX_ERROR_INIT;
  bool is_in_time = false;
  (void)state;
  host_alone();
  mctx_context context = open_context();
  mctx_publication publication = open_paced(context, &wanted);
  for (int tries = 0; tries < TRIES && !is_in_time; tries++) {
    uint64_t accepted = 0;
    int64_t start = now_ns();
    assert_status(mctx_send_batch(publication, slices, 100, 0, 120 * MILLI, &accepted, &error),
                  MCTX_ERR_TIMEOUT);
    const int64_t spent = now_ns() - start;
    assert_true(spent >= 120 * MILLI);
    assert_int_equal(error.item, accepted);
    assert_true((int64_t)accepted <= 1 + spent * wanted.rate / SECOND);
    is_in_time = spent < 150 * MILLI && accepted >= 2;
  }
  assert_true(is_in_time);
  assert_ok(mctx_close(context, NULL));
}

/* What the system refuses costs nothing of the rate. */
static void what_is_not_sent_is_not_counted(void **state) {
  static const pace wanted = {"", ONE_BY_ONE, MCTX_PACING_DATAGRAMS, 1, 5, 1000, 1, 0};
  mctx_error error = MCTX_ERROR_INIT;
  uint64_t accepted = 0;
  (void)state;
  host_alone();
  mctx_context context = open_context();
  mctx_publication publication = open_paced(context, &wanted);
  host_run("ip link set lo down");
  for (int i = 0; i < 20; i++) {
    assert_status(mctx_send(publication, "x", 1, &error), MCTX_ERR_INTERFACE_DOWN);
    assert_status(mctx_send_batch(publication, slices, 5, 0, 0, &accepted, &error), MCTX_ERR_INTERFACE_DOWN);
    assert_int_equal(accepted, 0);
  }
  host_run("ip link set lo up && ip route replace 224.0.0.0/4 dev lo");
  assert_ok(mctx_send_batch(publication, slices, 5, 0, 0, &accepted, &error));
  assert_int_equal(accepted, 5);
  assert_ok(mctx_close(context, NULL));
}

/* ---- the kernel's pacing ---- */

static uint64_t rate_of_socket(mctx_publication publication) {
  uint64_t rate = 0;
  socklen_t length = sizeof rate;
  assert_int_equal(0, getsockopt(socket_of(publication), SOL_SOCKET, SO_MAX_PACING_RATE, &rate, &length));
  return length == sizeof rate ? rate : (uint32_t)rate;
}

/* Where the queue ignores it, it has no effect: nothing waits, and everything goes at once. */
static void the_kernel_paces_when_asked_to(void **state) {
  static const int64_t rates[] = {8000, 1000000, INT64_C(10000000000), INT64_C(100000000000)};
  uint32_t family = host_family(state);
  host_pair();
  for (uint32_t i = 0; i < PART; i++)
    slices[i] = (mctx_slice){.data = payloads + i * 1000, .length = 1000};
  mctx_context context = open_context();
  for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
    uint64_t accepted = 0;
    mctx_publication_options options = options_through(family == 4 ? group : "[ff15::7:7]:5007", "va");
    options.pacing_rate = rates[i];
    options.pacing_by = MCTX_PACING_KERNEL;
    mctx_publication publication = open_with(context, &options);
    mctx_publication_info info = info_of(publication);
    assert_int_equal(info.pacing_by, MCTX_PACING_KERNEL);
    assert_int_equal(info.pacing_rate, rates[i]);
    assert_int_equal(info.pacing_unit, MCTX_PACING_BITS);
    assert_int_equal(rate_of_socket(publication), rates[i] / 8);
    assert_ok(mctx_send_batch(publication, slices, PART, 0, 0, &accepted, NULL));
    assert_int_equal(accepted, PART);
    assert_ok(mctx_close(publication, NULL));
  }
  assert_ok(mctx_close(context, NULL));
}

static void without_a_rate_the_socket_has_none(void **state) {
  (void)state;
  host_alone();
  mctx_context context = open_context();
  mctx_publication_options options = options_through(group, "lo");
  mctx_publication publication = open_with(context, &options);
  uint64_t none = rate_of_socket(publication);
  assert_true(none == UINT64_MAX || none == UINT32_MAX);
  assert_int_equal(info_of(publication).pacing_rate, 0);
  options.pacing_rate = 1000000; /* the library's own leaves it alone */
  publication = open_with(context, &options);
  assert_int_equal(rate_of_socket(publication), none);
  assert_ok(mctx_close(context, NULL));
}

static int32_t who_paces(mctx_context context, const mctx_publication_options *options) {
  mctx_publication publication = open_with(context, options);
  const int32_t who = info_of(publication).pacing_by;
  assert_int_equal(rate_of_socket(publication) == (uint64_t)options->pacing_rate / 8,
                   who == MCTX_PACING_KERNEL);
  assert_ok(mctx_close(publication, NULL));
  return who;
}

/* The queue that keeps to rates is known, and is left to do it where it says what it drops, and holds nothing
 * for longer than it should. */
static void a_queue_that_keeps_to_rates_is_left_to_it(void **state) {
  uint32_t family = host_family(state);
  host_pair();
  if (!host_try("tc qdisc add dev va root fq 2>/dev/null")) SKIP("this host has no fq queue");
  mctx_context context = open_context();
  mctx_publication_options options = options_through(family == 4 ? group : "[ff15::7:7]:5007", "va");
  options.loopback = 0;
  options.pacing_rate = 8000000;
  assert_int_equal(who_paces(context, &options), MCTX_PACING_KERNEL);
  options.error_queue = 0;
  assert_int_equal(who_paces(context, &options), MCTX_PACING_LIBRARY);
  options.error_queue = 1; /* members on this host get theirs at once */
  options.loopback = 1;
  assert_int_equal(who_paces(context, &options), MCTX_PACING_LIBRARY);
  options.error_queue = MCTX_AUTO;
  options.loopback = 0;
  options.pacing_rate = 8000;
  assert_int_equal(who_paces(context, &options), MCTX_PACING_LIBRARY);
  options.pacing_rate = 8000000;
  host_run("tc qdisc replace dev va root pfifo");
  assert_int_equal(who_paces(context, &options), MCTX_PACING_LIBRARY);
  assert_ok(mctx_close(context, NULL));
}

/* ---- */

static const pace paces[] = {
    {"1 Mbit/s, batches that wait", WAITING, MCTX_PACING_BITS, 1000000, 20000, 1000, 1, 90},
    {"20 Mbit/s, batches that wait", WAITING, MCTX_PACING_BITS, 20000000, 0, 1200, 1, 60},
    {"20 Mbit/s, segments that wait", WAITING_SEGMENTS, MCTX_PACING_BITS, 20000000, 1000000, 1200, 1, 90},
    {"100 Mbit/s in superpackets", WAITING, MCTX_PACING_BITS, 100000000, 0, 1200, 1, 60},
    {"100 Mbit/s without offload", WAITING, MCTX_PACING_BITS, 100000000, 0, 1200, 0, 60},
    {"100 Mbit/s in segments, burst of 50 ms", WAITING_SEGMENTS, MCTX_PACING_BITS, 100000000, 5000000, 1200, 1,
     90},
    {"1000 datagrams/s one by one", ONE_BY_ONE, MCTX_PACING_DATAGRAMS, 1000, 50, 100, 1, 90},
    {"10000 datagrams/s, resumed", RESUMED, MCTX_PACING_DATAGRAMS, 10000, 0, 100, 1, 60},
    {"10000 datagrams/s, resumed, burst of 50 ms", RESUMED, MCTX_PACING_DATAGRAMS, 10000, 500, 100, 1, 90},
    {"50000 datagrams/s, batches that wait", WAITING, MCTX_PACING_DATAGRAMS, 50000, 0, 64, 1, 60},
};

enum { PACES = sizeof paces / sizeof paces[0] };

int main(void) {
  static const struct CMUnitTest others[] = {
      cmocka_unit_test(a_datagram_larger_than_the_burst_goes_when_the_bucket_is_full),
      cmocka_unit_test(two_threads_share_the_rate),
      cmocka_unit_test(sends_that_never_wait_say_when_to_come_back),
      cmocka_unit_test(a_wait_for_the_pace_ends_in_time),
      cmocka_unit_test(what_is_not_sent_is_not_counted),
      BOTH_FAMILIES(the_kernel_paces_when_asked_to),
      cmocka_unit_test(without_a_rate_the_socket_has_none),
      BOTH_FAMILIES(a_queue_that_keeps_to_rates_is_left_to_it),
  };
  struct CMUnitTest tests[PACES + sizeof others / sizeof others[0]];
  for (size_t i = 0; i < PACES; i++)
    tests[i] = (struct CMUnitTest){paces[i].name, the_rate_is_kept, NULL, NULL, (void *)(uintptr_t)&paces[i]};
  memcpy(tests + PACES, others, sizeof others);
  return cmocka_run_group_tests(tests, NULL, NULL);
}
