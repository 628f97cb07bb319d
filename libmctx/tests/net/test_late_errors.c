/* SPDX-License-Identifier: MIT */
/* What the network answers to an earlier datagram fails the next call on a plain socket, whatever that call
 * sends. Anybody on the link can answer so. A publication takes such errors off its socket and sends on. */
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "host/delays.h"
#include "host/recorder.h"

enum { LENGTH = 100, COUNT = 20, QUIET_MS = 50, ICMP_HEADER = 8, UDP_HEADER = 8, LARGEST_HEADER = 40 };

/* ---- answers, made by hand on the second host ---- */

typedef enum answer { TOO_BIG, NOBODY_THERE } answer;

static void put16(unsigned char *at, unsigned value) {
  at[0] = (unsigned char)(value >> 8);
  at[1] = (unsigned char)value;
}

static unsigned checksum(const unsigned char *data, size_t length) {
  unsigned sum = 0;
  for (size_t i = 0; i < length; i += 2)
    sum += (unsigned)data[i] << 8 | data[i + 1];
  while (sum > 0xffff)
    sum = (sum & 0xffff) + (sum >> 16);
  return ~sum & 0xffff;
}

/* The header of the datagram that the answer is about (RFC 791, RFC 8200), as far as the kernel looks at it. */
static size_t write_original(unsigned char *at, const mctx_address *from, const mctx_address *to) {
  size_t header = from->family == 4 ? 20 : 40;
  if (from->family == 4) {
    at[0] = 0x45;
    put16(at + 2, 20 + UDP_HEADER);
    at[8] = 1;
    at[9] = IPPROTO_UDP;
    memcpy(at + 12, from->bytes, 4);
    memcpy(at + 16, to->bytes, 4);
  } else {
    at[0] = 0x60;
    put16(at + 4, UDP_HEADER);
    at[6] = IPPROTO_UDP;
    at[7] = 1;
    memcpy(at + 8, from->bytes, 16);
    memcpy(at + 24, to->bytes, 16);
  }
  put16(at + header, from->port);
  put16(at + header + 2, to->port);
  put16(at + header + 4, UDP_HEADER);
  return header + UDP_HEADER;
}

/* RFC 792, RFC 4443. */
static void write_kind(unsigned char *at, uint32_t family, answer kind) {
  if (family == 4) {
    at[0] = 3;
    at[1] = kind == TOO_BIG ? 4 : 3;
    if (kind == TOO_BIG) put16(at + 6, 1280);
  } else {
    at[0] = kind == TOO_BIG ? 2 : 1;
    at[1] = kind == TOO_BIG ? 0 : 4;
    if (kind == TOO_BIG) put16(at + 6, 1280);
  }
}

/* The second host answers so to a datagram of ours. */
static void answer_to(const mctx_address *from, const mctx_address *to, answer kind, int times) {
  unsigned char packet[ICMP_HEADER + LARGEST_HEADER + UDP_HEADER] = {0};
  bool v4 = from->family == 4;
  struct sockaddr_in v4_target = {.sin_family = AF_INET};
  struct sockaddr_in6 v6_target = {.sin6_family = AF_INET6};
  memcpy(&v4_target.sin_addr, from->bytes, 4);
  memcpy(&v6_target.sin6_addr, from->bytes, 16);
  const struct sockaddr *target = v4 ? (struct sockaddr *)&v4_target : (struct sockaddr *)&v6_target;
  socklen_t target_length = v4 ? sizeof v4_target : sizeof v6_target;
  write_kind(packet, from->family, kind);
  size_t length = ICMP_HEADER + write_original(packet + ICMP_HEADER, from, to);
  if (v4) put16(packet + 2, checksum(packet, length)); /* of IPv6 the kernel makes it */

  there_begin();
  int raw = socket(v4 ? AF_INET : AF_INET6, SOCK_RAW | SOCK_CLOEXEC, v4 ? IPPROTO_ICMP : IPPROTO_ICMPV6);
  there_end();
  assert_true(raw >= 0);
  for (int i = 0; i < times; i++)
    assert_int_equal(length, sendto(raw, packet, length, 0, target, target_length));
  close(raw);
}

static void answer_publication(mctx_publication publication, answer kind, int times) {
  mctx_address from;
  mctx_address to;
  assert_ok(mctx_publication_announce(publication, &from, &to, NULL));
  answer_to(&from, &to, kind, times);
}

/* That the answers do what this file is about: on a plain connected socket the next send fails. */
static void assert_answers_work(uint32_t family, answer kind) {
  char bytes[1] = {0};
  mctx_context context = open_context();
  mctx_publication_options options = options_through(group_of(family), "va");
  options.error_queue = 0;
  mctx_publication publication = open_with(context, &options);
  int plain = socket_of(publication);
  answer_publication(publication, kind, 1);
  ssize_t sent = send(plain, bytes, sizeof bytes, 0);
  for (int i = 0; i < 4000 && sent >= 0; i++) { /* the answer is on its way */
    sleep_ms(1);
    sent = send(plain, bytes, sizeof bytes, 0);
  }
  assert_int_equal(sent, -1);
  assert_int_equal(errno, kind == TOO_BIG ? EMSGSIZE : ECONNREFUSED);
  assert_ok(mctx_close(context, NULL));
}

/* Until the socket has the error; without a queue it may be one that poll does not tell. */
static void await_error(mctx_publication publication) {
  struct pollfd watched = {.fd = socket_of(publication), .events = 0};
  assert_int_equal(1, poll(&watched, 1, 4000));
  assert_true((watched.revents & POLLERR) != 0);
}

static bool has_error(mctx_publication publication) {
  struct pollfd watched = {.fd = socket_of(publication), .events = 0};
  return poll(&watched, 1, 0) == 1;
}

/* ---- tests ---- */

/* Every combination in which the kernel has something to report. */
typedef struct setting {
  int32_t connected;
  int32_t error_queue;
} setting;

static const setting settings[] = {{1, 0}, {1, 1}, {0, 1}};
enum { SETTINGS = sizeof settings / sizeof settings[0] };

static mctx_publication open_setting(mctx_context context, uint32_t family, const setting *wanted) {
  mctx_publication_options options = options_through(group_of(family), "va");
  options.connected = wanted->connected;
  options.error_queue = wanted->error_queue;
  options.loopback = 0;
  options.source_port = 5100; /* an unconnected socket has no port before its first datagram */
  return open_with(context, &options);
}

static void an_earlier_error_fails_no_send(void **state) {
  uint32_t family = host_family(state);
  unsigned char payload[LENGTH];
  host_pair();
  mctx_context context = open_context();
  for (answer kind = TOO_BIG; kind <= NOBODY_THERE; kind++) {
    assert_answers_work(family, kind);
    for (size_t i = 0; i < SETTINGS; i++) {
      recorder *remote = recorder_start(receiver_there(group_of(family), "vb"), LENGTH);
      mctx_publication publication = open_setting(context, family, &settings[i]);
      for (uint32_t k = 0; k < COUNT; k++) {
        answer_publication(publication, kind, 1);
        await_error(publication);
        numbered(payload, sizeof payload, k);
        assert_ok(mctx_send(publication, payload, sizeof payload, NULL));
      }
      assert_int_equal(metric_of(publication, MCTX_HANDLE_PUBLICATION, "drained_errors"), COUNT);
      assert_int_equal(metric_of(publication, MCTX_HANDLE_PUBLICATION, "send_errors"), 0);
      assert_int_equal(metric_of(publication, MCTX_HANDLE_PUBLICATION, "packets_sent"), COUNT);
      recorder_finish(remote, COUNT, QUIET_MS);
      assert_prefix(remote, COUNT);
      free(remote);
      assert_ok(mctx_close(publication, NULL));
    }
  }
  assert_ok(mctx_close(context, NULL));
}

static unsigned char payloads[COUNT][LENGTH];
static mctx_slice slices[COUNT];

static void an_earlier_error_stops_no_batch(void **state) {
  uint32_t family = host_family(state);
  host_pair();
  numbered_slices(slices, payloads, LENGTH, 0, COUNT);
  mctx_context context = open_context();
  for (size_t i = 0; i < SETTINGS; i++) {
    recorder *remote = recorder_start(receiver_there(group_of(family), "vb"), LENGTH);
    mctx_publication publication = open_setting(context, family, &settings[i]);
    uint64_t accepted;
    answer_publication(publication, TOO_BIG, 3);
    await_error(publication);
    assert_ok(mctx_send_batch(publication, slices, COUNT, 0, 0, &accepted, NULL));
    assert_int_equal(accepted, COUNT);
    assert_int_equal(metric_of(publication, MCTX_HANDLE_PUBLICATION, "superpackets_sent"),
                     settings[i].error_queue == 0);
    assert_int_equal(metric_of(publication, MCTX_HANDLE_PUBLICATION, "offload_refusals"), 0);
    recorder_finish(remote, COUNT, QUIET_MS);
    assert_prefix(remote, COUNT);
    free(remote);
    assert_ok(mctx_close(publication, NULL));
  }
  assert_ok(mctx_close(context, NULL));
}

/* Anybody on the link may say that 1280 bytes are too many. Whatever the kernel makes of it, all of it arrives,
 * as superpackets or one by one. */
static void large_datagrams_go_on_after_such_an_answer(void **state) {
  enum { LARGE = 1400, ROUNDS = 5 };
  static unsigned char large[ROUNDS * COUNT][LARGE];
  uint32_t family = host_family(state);
  host_pair();
  for (uint32_t i = 0; i < ROUNDS * COUNT; i++)
    numbered(large[i], LARGE, i);
  mctx_context context = open_context();
  for (size_t i = 0; i < SETTINGS; i++) {
    recorder *remote = recorder_start(receiver_there(group_of(family), "vb"), LARGE);
    mctx_publication publication = open_setting(context, family, &settings[i]);
    for (int round = 0; round < ROUNDS; round++) {
      uint64_t accepted;
      answer_publication(publication, TOO_BIG, 1);
      await_error(publication);
      assert_ok(mctx_send_segments(publication, large[round * COUNT], sizeof large / ROUNDS, LARGE, 0, 0,
                                   &accepted, NULL));
      assert_int_equal(accepted, COUNT);
    }
    recorder_finish(remote, ROUNDS * COUNT, QUIET_MS);
    assert_prefix(remote, ROUNDS * COUNT);
    free(remote);
    assert_ok(mctx_close(publication, NULL));
  }
  assert_ok(mctx_close(context, NULL));
}

typedef struct heckler {
  mctx_publication publication;
  _Atomic bool enough;
} heckler;

static void *heckle(void *argument) {
  heckler *own = argument;
  while (!own->enough) {
    answer_publication(own->publication, TOO_BIG, 1);
    sleep_ms(20); /* a second one between the drain and the repeat is taken for the datagram's own */
  }
  return NULL;
}

/* Errors that come in while a batch waits for its buffer: none is its own. */
static void errors_during_a_batch_belong_to_nobody(void **state) {
  enum { ROUNDS = 5 };
  uint32_t family = host_family(state);
  host_pair();
  host_run("tc qdisc add dev va root tbf rate 1mbit burst 4kb limit 1mb");
  numbered_slices(slices, payloads, LENGTH, 0, COUNT);
  mctx_context context = open_context();
  mctx_publication_options options = options_through(group_of(family), "va");
  options.loopback = 0;
  options.send_buffer = 1;
  heckler own = {.publication = open_with(context, &options)};
  pthread_t thread;
  assert_int_equal(0, pthread_create(&thread, NULL, heckle, &own));
  for (int i = 0; i < ROUNDS; i++) {
    recorder *remote = recorder_start(receiver_there(group_of(family), "vb"), LENGTH);
    uint64_t accepted;
    mctx_error error = MCTX_ERROR_INIT;
    mctx_status status = mctx_send_batch(own.publication, slices, COUNT, 0, -1, &accepted, &error);
    if (status != MCTX_OK) fail_msg("%s: %s (%d)", mctx_status_name(status), error.message, error.os_code);
    recorder_finish(remote, COUNT, QUIET_MS);
    assert_prefix(remote, COUNT);
    free(remote);
  }
  own.enough = true;
  assert_int_equal(0, pthread_join(thread, NULL));
  assert_true(metric_of(own.publication, MCTX_HANDLE_PUBLICATION, "drained_errors") > 0);
  assert_ok(mctx_close(context, NULL));
}

/* More than the queue holds. Undrained it would report an error for ever. */
static void a_full_error_queue_is_emptied(void **state) {
  uint32_t family = host_family(state);
  uint32_t ready;
  host_pair();
  mctx_context context = open_context();
  mctx_publication publication = open_setting(context, family, &(setting){1, 1});
  answer_publication(publication, TOO_BIG, 600);
  await_error(publication);
  sleep_ms(20);
  assert_ok(mctx_send(publication, "x", 1, NULL));
  assert_false(has_error(publication));
  assert_true(metric_of(publication, MCTX_HANDLE_PUBLICATION, "drained_errors") > 100);
  assert_ok(mctx_wait(publication, MCTX_WRITABLE, 0, 0, &ready, NULL));
  assert_ok(mctx_close(context, NULL));
}

static void wait_through_errors(delays *set, void *argument) {
  const mctx_publication publication = *(mctx_publication *)argument;
  uint32_t ready;
  answer_publication(publication, TOO_BIG, 3);
  await_error(publication);
  int64_t start = now_ns();
  int64_t before = processor_time_ns();
  assert_status(mctx_wait(publication, MCTX_READABLE, 0, 100 * MILLI, &ready, NULL), MCTX_ERR_TIMEOUT);
  delays_add(set, before, processor_time_ns());
  assert_true(now_ns() - start >= 100 * MILLI);
  assert_false(has_error(publication));
  assert_int_equal(ready, 0);
}

/* A wait is for what was asked: errors neither end it nor keep it busy. */
static void a_wait_takes_errors_off_and_goes_on(void **state) {
  uint32_t family = host_family(state);
  host_pair();
  mctx_context context = open_context();
  for (size_t i = 0; i < SETTINGS; i++) {
    mctx_publication publication = open_setting(context, family, &settings[i]);
    assert_soon("waits of 100 ms, in time of the processor", 30 * MILLI, wait_through_errors, &publication);
    assert_ok(mctx_close(publication, NULL));
  }
  assert_ok(mctx_close(context, NULL));
}

/* An error of the datagram itself stays its own, beside those of others. */
static void a_datagram_that_is_too_large_fails_alone(void **state) {
  uint32_t family = host_family(state);
  static unsigned char large[3000];
  host_pair();
  numbered_slices(slices, payloads, LENGTH, 0, COUNT);
  slices[5].data = large;
  slices[5].length = sizeof large;
  mctx_context context = open_context();
  for (int32_t error_queue = 0; error_queue <= 1; error_queue++) {
    recorder *remote = recorder_start(receiver_there(group_of(family), "vb"), LENGTH);
    mctx_publication_options options = options_through(group_of(family), "va");
    options.dont_fragment = 1;
    options.error_queue = error_queue;
    mctx_publication publication = open_with(context, &options);
    mctx_error error = MCTX_ERROR_INIT;
    uint64_t accepted;
    answer_publication(publication, TOO_BIG, 1);
    await_error(publication);
    assert_status(mctx_send_batch(publication, slices, COUNT, 0, -1, &accepted, &error),
                  MCTX_ERR_DATAGRAM_TOO_LARGE);
    assert_int_equal(accepted, 5);
    assert_int_equal(error.item, 5);
    assert_int_equal(error.value, sizeof large);
    assert_string_not_equal(error.hint, "");
    assert_status(mctx_send(publication, large, sizeof large, &error), MCTX_ERR_DATAGRAM_TOO_LARGE);
    assert_false(has_error(publication));
    numbered(payloads[5], LENGTH, 5);
    assert_ok(mctx_send(publication, payloads[5], LENGTH, NULL));
    recorder_finish(remote, 6, QUIET_MS);
    assert_prefix(remote, 6);
    free(remote);
    assert_ok(mctx_close(publication, NULL));
  }
  assert_ok(mctx_close(context, NULL));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      BOTH_FAMILIES(an_earlier_error_fails_no_send),
      BOTH_FAMILIES(an_earlier_error_stops_no_batch),
      BOTH_FAMILIES(large_datagrams_go_on_after_such_an_answer),
      BOTH_FAMILIES(errors_during_a_batch_belong_to_nobody),
      BOTH_FAMILIES(a_full_error_queue_is_emptied),
      BOTH_FAMILIES(a_wait_takes_errors_off_and_goes_on),
      BOTH_FAMILIES(a_datagram_that_is_too_large_fails_alone),
  };
  stay_on_one_processor();
  return cmocka_run_group_tests(tests, NULL, NULL);
}
