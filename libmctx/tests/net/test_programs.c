/* SPDX-License-Identifier: MIT */
/* Programs that others wrote, as senders to a subscription and as receivers of a publication: socat, iperf 2,
 * ssmpingd and mcfirst. */
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "host/program.h"
#include "host/subscription.h"

static taken got;

#define NEEDS(name) \
  if (!host_has(name)) SKIP(name " is not there")

/* Sends the text until the program has it: nobody tells when it has joined. */
static void assert_told(mctx_publication publication, program *receiver, const char *text) {
  for (int i = 0; i < 300; i++) {
    assert_ok(mctx_send(publication, text, strlen(text), NULL));
    if (program_says(receiver, text, 10)) return;
  }
  fail_msg("\"%s\" did not arrive: %s", text, program_text(receiver));
}

/* ---- socat ---- */

static void socat_sends(void **state) {
  uint32_t family = host_family(state);
  NEEDS("socat");
  host_pair();
  mctx_context context = open_context();
  mctx_address group = group_at(family, 1);
  mctx_address source = unicast_at(family, 9, 2);
  mctx_subscription subscription = subscribe(context, &group, "va");
  if (family == 4)
    there_run("printf socat | socat -u - udp4-datagram:239.7.0.1:%d,ip-multicast-if=10.9.0.2", PORT);
  else
    there_run("printf socat | socat -u - 'udp6-datagram:[ff15::7:1]:%d,so-bindtodevice=vb'", PORT);
  assert_true(take_next(subscription, &got, PATIENCE_MS));
  assert_int_equal(got.length, 5);
  assert_memory_equal(got.data, "socat", 5);
  assert_true(is_same_host(&got.message.source, &source));
  assert_takes_nothing(subscription);
  assert_ok(mctx_close(context, NULL));
}

static void socat_receives(void **state) {
  uint32_t family = host_family(state);
  NEEDS("socat");
  host_pair();
  mctx_context context = open_context();
  mctx_address group = group_at(family, 1);
  mctx_publication publication = open_through(context, text_with_port(&group), "va");
  program *receiver = family == 4
                          ? program_there("socat -u udp4-recv:%d,ip-add-membership=239.7.0.1:10.9.0.2 -", PORT)
                          : program_there("socat -u 'udp6-recv:%d,ipv6-join-group=[ff15::7:1]:vb' -", PORT);
  assert_told(publication, receiver, "to socat");
  program_end(receiver);
  assert_ok(mctx_close(context, NULL));
}

/* ---- iperf 2 ---- */

enum { IPERF_LENGTH = 1000, IPERF_COUNT = 50 };

/* Its datagrams start with their number; the last ones are negative. */
static int32_t number_of(const unsigned char *payload) {
  uint32_t number;
  memcpy(&number, payload, sizeof number);
  return (int32_t)ntohl(number);
}

static void iperf_sends(void **state) {
  uint32_t family = host_family(state);
  int32_t next = 0;
  NEEDS("iperf");
  host_pair();
  mctx_context context = open_context();
  mctx_address group = group_at(family, 1);
  mctx_subscription subscription = subscribe(context, &group, "va");
  program *sender =
      program_there("iperf -u %s -c %s%s -p %d -l %d -b 1m -n %d -T 1", family == 6 ? "-V" : "",
                    text_of(&group), family == 6 ? "%vb" : "", PORT, IPERF_LENGTH, IPERF_LENGTH * IPERF_COUNT);
  while (take_next(subscription, &got, PATIENCE_MS)) {
    int32_t number = number_of(got.data);
    if (number < 0) break; /* the end */
    assert_int_equal(got.length, IPERF_LENGTH);
    if (next == 0) next = number; /* some versions count from 1 */
    assert_int_equal(number, next);
    next++;
  }
  if (next < IPERF_COUNT - 1) fail_msg("%d came: %s", (int)next, program_text(sender));
  program_end(sender);
  assert_ok(mctx_close(context, NULL));
}

static void iperf_receives(void **state) {
  uint32_t family = host_family(state);
  unsigned char payload[IPERF_LENGTH] = {0};
  NEEDS("iperf");
  host_pair();
  mctx_context context = open_context();
  mctx_address group = group_at(family, 1);
  mctx_publication publication = open_through(context, text_with_port(&group), "va");
  program *receiver = program_there("iperf -u %s -s -B %s%s -p %d -i 1", family == 6 ? "-V" : "",
                                    text_of(&group), family == 6 ? "%vb" : "", PORT);
  assert_true(program_says(receiver, "listening", PATIENCE_MS));
  sleep_ms(100);
  for (uint32_t number = 1; number <= IPERF_COUNT + 10; number++) {
    uint32_t wire = htonl(number <= IPERF_COUNT ? number : -number);
    memcpy(payload, &wire, sizeof wire);
    assert_ok(mctx_send(publication, payload, sizeof payload, NULL));
    sleep_ms(5);
  }
  bool whole = program_says(receiver, "0/", PATIENCE_MS) && program_says(receiver, "(0%)", PATIENCE_MS);
  if (!whole) fail_msg("%s", program_text(receiver));
  program_end(receiver);
  assert_ok(mctx_close(context, NULL));
}

/* ---- ssmping's tools ---- */

/* It answers a request to the port it came from: once to its sender, which is not for us, and once to a
 * source-specific group. */
static void ssmpingd_sends(void **state) {
  uint32_t family = host_family(state);
  NEEDS("ssmpingd");
  host_pair();
  program *sender = program_there("ssmpingd");
  mctx_context context = open_context();
  mctx_address group = address_of(family == 4 ? "232.43.211.234:5007" : "[ff3e::4321:1234]:5007");
  mctx_address source = unicast_at(family, 9, 2);
  mctx_address own = unicast_at(family, 9, 1);
  mctx_address daemon = source;
  mctx_membership member = member_of(&group, "va");
  mctx_subscription_options options = subscription_options();
  member.mode = MCTX_INCLUDE;
  member.sources = &source;
  member.source_count = 1;
  mctx_subscription subscription = subscribe_with(context, &options);
  assert_ok(mctx_join(subscription, &member, sizeof member, 1, NULL));
  own.port = PORT;
  daemon.port = 4321;
  bool answered = false;
  for (int i = 0; i < 100 && !answered; i++) {
    say(&own, "va", &daemon, "Q12345");
    answered = take_next(subscription, &got, 20);
  }
  if (!answered) fail_msg("there was no answer: %s", program_text(sender));
  assert_int_equal(got.data[0], 'A');
  assert_int_equal(got.message.source.port, 4321);
  assert_true(is_same_host(&got.message.source, &source));
  assert_true(is_same_host(&got.message.group, &group));
  program_end(sender);
  assert_ok(mctx_close(context, NULL));
}

static void mcfirst_receives(void **state) {
  uint32_t family = host_family(state);
  NEEDS("mcfirst");
  host_pair();
  mctx_context context = open_context();
  mctx_address group = group_at(family, 1);
  mctx_address source = unicast_at(family, 9, 1);
  mctx_publication publication = open_through(context, text_with_port(&group), "va");
  program *receiver =
      program_there("mcfirst -%u -I vb -c 1 %s %s %d", family, text_of(&source), text_of(&group), PORT);
  bool received = false;
  for (int i = 0; i < 300 && !received; i++) {
    assert_ok(mctx_send(publication, "first", 5, NULL));
    received = program_says(receiver, "Received 5 bytes from", 10);
  }
  if (!received) fail_msg("%s", program_text(receiver));
  program_end(receiver);
  assert_ok(mctx_close(context, NULL));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      BOTH_FAMILIES(socat_sends),    BOTH_FAMILIES(socat_receives), BOTH_FAMILIES(iperf_sends),
      BOTH_FAMILIES(iperf_receives), BOTH_FAMILIES(ssmpingd_sends), BOTH_FAMILIES(mcfirst_receives),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
