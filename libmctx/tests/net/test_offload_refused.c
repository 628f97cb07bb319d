/* SPDX-License-Identifier: MIT */
/* Superpackets that the system refuses: the same datagrams go with the same boundaries, each once and in order;
 * the publication tells what it found out, and tries again after a while. What is not offload's fault stays
 * what it is: a datagram's own failure, exact to the datagram, and no reason to give offload up. */
#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/audience.h"
#include "host/recorder.h"
#include "host/sequence.h"

/* At first: so many datagrams in one, and so large that another byte has room beside one. */
enum { FIRST_LIMIT = 128, FIRST_SIZE = 65407, RETRY_AFTER = 65536 };

static uint64_t metric(mctx_publication publication, const char *name) {
  return metric_of(publication, MCTX_HANDLE_PUBLICATION, name);
}

/* ---- one publication and who hears it ---- */

typedef struct scene {
  uint32_t family;
  mctx_context context;
  mctx_publication publication;
  audience remote; /* behind the cable: one of each kind */
  sequence sequence;
} scene;

static mctx_publication_options usual_options(uint32_t family) {
  mctx_publication_options options = options_through(group_of(family), "va");
  options.send_buffer = 4 << 20;
  return options;
}

/* The host's cable is laid. */
static void set_scene(scene *own, uint32_t family, const mctx_publication_options *options) {
  own->family = family;
  own->context = open_context();
  own->publication = open_with(own->context, options);
  audience_init(&own->remote);
  audience_join(&own->remote, group_of(family), "vb", EVERY_EAR, true);
  sequence_init(&own->sequence, 1);
}

static void end_scene(scene *own) {
  assert_all_heard(&own->remote);
  audience_leave(&own->remote);
  assert_ok(mctx_close(own->context, NULL));
  sequence_free(&own->sequence);
}

static mctx_status send_them(scene *own, mctx_error *error, uint64_t *accepted) {
  return mctx_send_batch(own->publication, own->sequence.slices, own->sequence.count, 0, 10 * SECOND, accepted,
                         error);
}

/* All that is in the sequence goes, and arrives. */
static void assert_goes(scene *own) {
  mctx_error error = MCTX_ERROR_INIT;
  uint64_t accepted = 0;
  mctx_status status = send_them(own, &error, &accepted);
  if (status != MCTX_OK) fail_msg("%s at %u: %s", mctx_status_name(status), (unsigned)accepted, error.message);
  assert_int_equal(accepted, own->sequence.count);
  assert_all_hear(&own->remote, own->sequence.slices, own->sequence.count);
}

static void assert_equal_ones_go(scene *own, uint32_t count, uint32_t length) {
  sequence_clear(&own->sequence);
  sequence_add_equal(&own->sequence, count, length, MIXED);
  assert_goes(own);
}

/* That so many went as superpackets, and so many refusals were met meanwhile. */
static void assert_counts(scene *own, uint64_t superpackets, uint64_t refusals) {
  assert_int_equal(metric(own->publication, "superpackets_sent"), superpackets);
  assert_int_equal(metric(own->publication, "offload_refusals"), refusals);
  assert_int_equal(metric_of(own->context, MCTX_HANDLE_CONTEXT, "total_offload_refusals"), refusals);
}

static void assert_limits(mctx_publication publication, uint32_t count, uint64_t size) {
  mctx_publication_info info = info_of(publication);
  assert_int_equal(info.segment_count_limit, count);
  assert_int_equal(info.segment_size_limit, size);
}

/* As if nothing had been refused. */
static void assert_untouched(mctx_publication publication) {
  mctx_publication_info info = info_of(publication);
  assert_int_equal(info.offload, 1);
  assert_int_equal(info.segment_count_limit, FIRST_LIMIT);
  assert_int_equal(info.segment_size_limit, FIRST_SIZE);
  assert_int_equal(info.offload_status, MCTX_OK);
  assert_int_equal(info.offload_os_code, 0);
  assert_int_equal(metric(publication, "offload_refusals"), 0);
}

/* Kernels differ in what they say of a segment that does not fit the MTU. */
static void assert_told_too_large(mctx_publication publication) {
  mctx_publication_info info = info_of(publication);
  if (info.offload_status == MCTX_ERR_DATAGRAM_TOO_LARGE)
    assert_int_equal(info.offload_os_code, EMSGSIZE);
  else {
    assert_status(info.offload_status, MCTX_ERR_INVALID_ARGUMENT);
    assert_int_equal(info.offload_os_code, EINVAL);
  }
}

static void set_mtu(const char *interface, int mtu) {
  host_run("ip link set %s mtu %d", interface, mtu);
}

/* ---- a descriptor that is none ---- */

/* What is wrong with one publication says nothing of the system. The first of all tests: it is asked once. */
static void a_closed_descriptor_is_no_refusal_of_the_system(void **state) {
  static const unsigned char data[64 * 100];
  mctx_error error = MCTX_ERROR_INIT;
  uint64_t accepted = 0;
  (void)state;
  host_pair();
  mctx_context context = open_context();
  mctx_publication_options options = usual_options(4);
  options.flags = MCTX_PUBLICATION_DUPLICATE;
  mctx_publication bad = open_with(context, &options);
  mctx_publication good = open_with(context, &options);
  const int number = socket_of(bad);
  const int copy = dup(number);
  close(number);
  assert_status(mctx_send_segments(bad, data, sizeof data, 100, 0, 0, &accepted, &error),
                MCTX_ERR_NOT_A_SOCKET);
  assert_int_equal(accepted, 0);
  assert_int_equal(dup2(copy, number), number); /* what is closed next is the publication's own again */
  close(copy);
  assert_ok(mctx_send_segments(good, data, sizeof data, 100, 0, 0, &accepted, &error));
  assert_int_equal(metric(good, "superpackets_sent"), 1);
  assert_untouched(good);
  assert_ok(mctx_close(context, NULL));
}

/* ---- datagrams above the MTU ---- */

static void datagrams_above_the_mtu_go_as_fragments(void **state) {
  static scene own;
  uint32_t family = host_family(state);
  host_pair();
  mctx_publication_options options = usual_options(family);
  set_scene(&own, family, &options);
  assert_untouched(own.publication);
  assert_equal_ones_go(&own, 12, 3000);
  assert_counts(&own, 0, 1);
  assert_told_too_large(own.publication);
  assert_limits(own.publication, FIRST_LIMIT, 2999);
  assert_equal_ones_go(&own, 40, 1000); /* smaller ones are offloaded as before */
  assert_counts(&own, 1, 1);
  assert_equal_ones_go(&own, 12, 3000); /* and no such one is tried again */
  assert_counts(&own, 1, 1);
  assert_equal_ones_go(&own, 10, 2000);
  assert_counts(&own, 1, 2);
  assert_limits(own.publication, FIRST_LIMIT, 1999);
  end_scene(&own);
}

/* In the middle of a batch, behind and before others. */
static void a_refusal_half_way_changes_nothing_for_receivers(void **state) {
  static scene own;
  uint32_t family = host_family(state);
  host_pair();
  for (layout how = CONTIGUOUS; how < LAYOUTS; how++) {
    mctx_publication_options options = usual_options(family);
    set_scene(&own, family, &options);
    sequence_add_equal(&own.sequence, 30, 1200, how);
    sequence_add_equal(&own.sequence, 5, 2500, how);
    sequence_add_equal(&own.sequence, 1, 0, how);
    sequence_add_equal(&own.sequence, 30, 1200, how);
    sequence_add_equal(&own.sequence, 5, 1600, how);
    sequence_add_equal(&own.sequence, 70, 64, how);
    assert_goes(&own);
    assert_int_equal(metric(own.publication, "offload_refusals"), 2);
    assert_limits(own.publication, FIRST_LIMIT, 1599);
    end_scene(&own);
  }
}

/* ---- an MTU that changes ---- */

static void the_mtu_sinks_and_rises_between_batches(void **state) {
  static scene own;
  uint32_t family = host_family(state);
  host_pair();
  there_run("ip link set vb mtu 9000"); /* takes what we may send */
  mctx_publication_options options = usual_options(family);
  set_scene(&own, family, &options);
  assert_equal_ones_go(&own, 40, 1400);
  assert_counts(&own, 1, 0);
  set_mtu("va", 1300);
  assert_equal_ones_go(&own, 40, 1400);
  assert_counts(&own, 1, 1);
  assert_limits(own.publication, FIRST_LIMIT, 1399);
  set_mtu("va", 9000);
  assert_equal_ones_go(&own, 40, 1400); /* it is not tried again so soon */
  assert_equal_ones_go(&own, 40, 1399);
  assert_counts(&own, 2, 1);
  end_scene(&own);
}

typedef struct shaker {
  pthread_t thread;
  _Atomic bool enough;
  _Atomic int shakes;
} shaker;

static void *shake_mtu(void *argument) {
  shaker *own = argument;
  while (!own->enough) {
    if (!host_try("ip link set va mtu 1300 && ip link set va mtu 9000")) return "ip failed";
    own->shakes++;
  }
  return NULL;
}

/* Meanwhile each batch arrives whole and in order, as superpackets or not. */
static void the_mtu_sinks_and_rises_while_sending(void **state) {
  enum { ROUNDS = 150, SHAKES = 10 };
  static scene own;
  static shaker other;
  void *failure;
  uint32_t family = host_family(state);
  host_pair();
  there_run("ip link set vb mtu 9000");
  mctx_publication_options options = usual_options(family);
  set_scene(&own, family, &options);
  other.enough = false;
  other.shakes = 0;
  assert_int_equal(0, pthread_create(&other.thread, NULL, shake_mtu, &other));
  for (int i = 0; i < ROUNDS || other.shakes < SHAKES; i++) {
    if (i % 10 == 0) { /* what was found out is forgotten */
      assert_ok(mctx_close(own.publication, NULL));
      own.publication = open_with(own.context, &options);
    }
    assert_equal_ones_go(&own, 40, i % 2 == 0 ? 1400 : 5000);
  }
  other.enough = true;
  assert_int_equal(0, pthread_join(other.thread, &failure));
  assert_null(failure);
  print_message("figures: IPv%u, %d changes of the MTU: %u superpackets sent, %u refused\n", family,
                other.shakes, (unsigned)metric_of(own.context, MCTX_HANDLE_CONTEXT, "total_superpackets_sent"),
                (unsigned)metric_of(own.context, MCTX_HANDLE_CONTEXT, "total_offload_refusals"));
  end_scene(&own);
}

/* ---- another device ---- */

static void route_through(uint32_t family, const char *interface) {
  if (family == 4)
    host_run("ip route replace 224.0.0.0/4 dev %s", interface);
  else
    host_run(
        "ip -6 route del ff00::/8 table local dev va 2>/dev/null; ip -6 route del ff00::/8 table local dev wa "
        "2>/dev/null; ip -6 route add multicast ff00::/8 dev %s table local",
        interface);
}

/* A route leads elsewhere: to a device that takes no such superpackets, and back. A connected IPv4 socket stays
 * with the device of its source. */
static void a_route_leads_to_another_device(void **state) {
  static scene own;
  static audience elsewhere;
  uint32_t family = host_family(state);
  for (int32_t connected = 0; connected <= (family == 6); connected++) {
    host_pair();
    host_cable("wa", "wb", 10);
    set_mtu("wa", 1300);
    there_run("for i in all vb wb; do echo 0 > /proc/sys/net/ipv4/conf/$i/rp_filter; done");
    route_through(family, "va");
    mctx_publication_options options = options_for(group_of(family));
    options.connected = connected;
    options.send_buffer = 4 << 20;
    set_scene(&own, family, &options);
    audience_init(&elsewhere);
    audience_join(&elsewhere, group_of(family), "wb", EVERY_EAR, true);
    assert_equal_ones_go(&own, 40, 1400);
    assert_counts(&own, 1, 0);
    route_through(family, "wa");
    uint64_t accepted;
    assert_ok(send_them(&own, NULL, &accepted));
    assert_all_hear(&elsewhere, own.sequence.slices, own.sequence.count);
    assert_counts(&own, 1, 1);
    route_through(family, "va");
    assert_equal_ones_go(&own, 40, 1200);
    assert_counts(&own, 2, 1);
    assert_all_heard(&elsewhere);
    audience_leave(&elsewhere);
    end_scene(&own);
  }
}

/* ---- what is not offload's fault ---- */

/* What the first `accepted` were arrives, and nothing else. */
static void assert_stops(scene *own, mctx_status expected, uint64_t accepted) {
  mctx_error error = MCTX_ERROR_INIT;
  uint64_t took = 0;
  assert_status(send_them(own, &error, &took), expected);
  assert_int_equal(took, accepted);
  assert_int_equal(error.item, accepted);
  assert_all_hear(&own->remote, own->sequence.slices, accepted);
}

/* Whether a superpacket or the datagram itself is too large makes a difference. */
static void a_datagram_that_may_not_be_fragmented_is_too_large_itself(void **state) {
  static scene own;
  uint32_t family = host_family(state);
  host_pair();
  uint32_t fitting = family == 4 ? 1472 : 1452;
  mctx_publication_options options = usual_options(family);
  options.dont_fragment = 1;
  for (layout how = CONTIGUOUS; how < LAYOUTS; how++) {
    set_scene(&own, family, &options);
    for (uint32_t large = 1; large <= 5; large += 4) {
      sequence_clear(&own.sequence);
      sequence_add_equal(&own.sequence, 70, fitting, how);
      sequence_add_equal(&own.sequence, large, fitting + 1, how);
      sequence_add_equal(&own.sequence, 20, 100, how);
      assert_stops(&own, MCTX_ERR_DATAGRAM_TOO_LARGE, 70);
      assert_untouched(own.publication);
    }
    sequence_clear(&own.sequence);
    sequence_add_equal(&own.sequence, 3, 5000, how);
    assert_stops(&own, MCTX_ERR_DATAGRAM_TOO_LARGE, 0);
    assert_untouched(own.publication);
    uint64_t before = metric(own.publication, "superpackets_sent");
    assert_equal_ones_go(&own, 40, fitting);
    assert_int_equal(metric(own.publication, "superpackets_sent"), before + 1);
    end_scene(&own);
  }
}

/* Every third packet is refused: it is a superpacket as a rule. */
static bool refuse_every_third(uint32_t family) {
  return host_try(
             "%s -A OUTPUT -p udp --dport 5007 -m statistic --mode nth --every 3 --packet 2 -j DROP "
             "2>/dev/null",
             family == 4 ? "iptables" : "ip6tables") ||
         host_try(
             "nft add table inet mctx 2>/dev/null && nft 'add chain inet mctx out { type filter hook output "
             "priority 0; }' && nft add rule inet mctx out udp dport 5007 numgen inc mod 3 == 2 drop");
}

static void a_firewall_never_switches_offload_off(void **state) {
  enum { COUNT = 500, LENGTH = 1000, IN_ONE = 65 };
  static scene own;
  uint32_t family = host_family(state);
  host_pair();
  if (!refuse_every_third(family)) SKIP("neither iptables nor nft works here");
  mctx_publication_options options = usual_options(family);
  set_scene(&own, family, &options);
  sequence_add_equal(&own.sequence, COUNT, LENGTH, SCATTERED);
  uint64_t all = 0;
  int refused = 0;
  while (all < COUNT) {
    mctx_error error = MCTX_ERROR_INIT;
    uint64_t accepted = 0;
    mctx_status status = mctx_send_batch(own.publication, own.sequence.slices + all, (size_t)(COUNT - all), 0,
                                         SECOND, &accepted, &error);
    all += accepted;
    if (status == MCTX_OK) break;
    assert_status(status, MCTX_ERR_FIREWALL);
    assert_int_equal(accepted, 2 * IN_ONE); /* two superpackets, and not one datagram of the third */
    assert_int_equal(error.item, accepted);
    if (++refused == 1) assert_untouched(own.publication);
  }
  assert_int_equal(all, COUNT);
  assert_in_range(refused, 2, 10);
  assert_all_hear(&own.remote, own.sequence.slices, COUNT);
  assert_untouched(own.publication);
  end_scene(&own);
}

static void an_interface_that_is_down_is_no_refusal(void **state) {
  static scene own;
  uint32_t family = host_family(state);
  host_pair();
  mctx_publication_options options = usual_options(family);
  set_scene(&own, family, &options);
  assert_equal_ones_go(&own, 100, 500);
  for (int i = 0; i < 3; i++) {
    host_run("ip link set va down");
    assert_stops(&own, MCTX_ERR_INTERFACE_DOWN, 0);
    host_run("ip link set va up");
    host_await_link("va");
    assert_equal_ones_go(&own, 100, 500);
    assert_untouched(own.publication);
  }
  end_scene(&own);
}

static void *flap(void *argument) {
  shaker *own = argument;
  while (!own->enough) {
    if (!host_try("ip link set va down && ip link set va up")) return "ip failed";
    host_await_link("va");
    own->shakes++;
    sleep_ms(20);
  }
  return NULL;
}

/* Down and up meanwhile: what the device dropped is missing, and nothing comes twice or out of order. */
static void nothing_comes_twice_when_the_link_fails_half_way(void **state) {
  enum { BATCH = 200, LENGTH = 100, FLAPS = 10, ENOUGH = RECORDED };
  static unsigned char payloads[BATCH][LENGTH];
  static mctx_slice slices[BATCH];
  static shaker other;
  void *failure;
  uint32_t family = host_family(state);
  host_pair();
  recorder *remote = recorder_start(receiver_there(group_of(family), "vb"), LENGTH);
  mctx_context context = open_context();
  mctx_publication_options options = usual_options(family);
  mctx_publication publication = open_with(context, &options);
  uint32_t sent = 0;
  uint32_t stopped = 0;
  other.enough = false;
  other.shakes = 0;
  assert_int_equal(0, pthread_create(&other.thread, NULL, flap, &other));
  while (sent + BATCH <= ENOUGH && (other.shakes < FLAPS || stopped == 0)) {
    uint64_t accepted;
    numbered_slices(slices, payloads, LENGTH, sent, BATCH);
    mctx_status status = mctx_send_batch(publication, slices, BATCH, 0, 0, &accepted, NULL);
    if (status != MCTX_OK && mctx_status_kind(status) != MCTX_KIND_NETWORK)
      fail_msg("%s", mctx_status_name(status));
    sent += (uint32_t)accepted;
    stopped += status != MCTX_OK;
    sleep_ms(status == MCTX_OK ? 5 : 1);
  }
  other.enough = true;
  assert_int_equal(0, pthread_join(other.thread, &failure));
  assert_null(failure);
  recorder_finish(remote, 1, 50);
  assert_rising(remote);
  assert_in_range(remote->count, 1, sent);
  assert_untouched(publication);
  print_message("figures: IPv%u, %d times down: %u accepted, %u arrived, %u batches stopped\n", family,
                other.shakes, sent, (unsigned)remote->count, stopped);
  free(remote);
  assert_ok(mctx_close(context, NULL));
}

/* A source that the user named and that is no longer there; of IPv6 each message names it to the system. */
static void a_source_that_is_gone_is_no_refusal(void **state) {
  static scene own;
  uint32_t family = host_family(state);
  host_pair();
  host_address("va", 9, 5);
  mctx_publication_options options = usual_options(family);
  options.source = unicast_at(family, 9, 5);
  set_scene(&own, family, &options);
  assert_equal_ones_go(&own, 100, 500);
  if (family == 4)
    host_run("ip address del 10.9.0.5/24 dev va");
  else
    host_run("ip -6 address del fd09::5/64 dev va");
  assert_stops(&own, MCTX_ERR_SOURCE_GONE, 0);
  assert_untouched(own.publication);
  if (family == 4)
    host_run("ip address add 10.9.0.5/24 dev va");
  else
    host_run("ip -6 address add fd09::5/64 dev va nodad");
  assert_equal_ones_go(&own, 100, 500);
  assert_untouched(own.publication);
  end_scene(&own);
}

/* ---- a socket that cannot offload ---- */

static void set_checksums(mctx_publication publication, int off) {
  assert_int_equal(0, setsockopt(socket_of(publication), SOL_SOCKET, SO_NO_CHECK, &off, sizeof off));
}

/* Without checksums Linux cuts nothing, and says that something is invalid: fewer are tried, then none of that
 * size. */
static void a_socket_without_checksums_sends_all_the_same(void **state) {
  static scene own;
  (void)state;
  host_pair();
  mctx_publication_options options = usual_options(4);
  set_scene(&own, 4, &options);
  set_checksums(own.publication, 1);
  assert_equal_ones_go(&own, 300, 100);
  mctx_publication_info info = info_of(own.publication);
  if (info.offload_status == MCTX_OK) { /* a kernel that does it */
    end_scene(&own);
    SKIP("this kernel offloads without checksums");
  }
  assert_status(info.offload_status, MCTX_ERR_INVALID_ARGUMENT);
  assert_int_equal(info.offload_os_code, EINVAL);
  assert_limits(own.publication, 64, 99);
  assert_counts(&own, 0, 2);
  set_checksums(own.publication, 0);
  assert_equal_ones_go(&own, 128, 99);
  assert_counts(&own, 2, 2);
  end_scene(&own);
}

/* ---- trying again ---- */

/* None of these can be a superpacket: each is longer than the one before it. */
static void send_alone(mctx_publication publication, uint32_t count) {
  enum { PART = 128 };
  static unsigned char data[PART];
  mctx_slice slices[PART];
  for (uint32_t i = 0; i < PART; i++)
    slices[i] = (mctx_slice){.data = data, .length = i};
  while (count > 0) {
    uint64_t accepted;
    uint32_t part = count < PART ? count : PART;
    assert_ok(mctx_send_batch(publication, slices, part, 0, 10 * SECOND, &accepted, NULL));
    count -= part;
  }
}

static void offload_is_tried_again_after_many_datagrams(void **state) {
  enum { COUNT = 12, LENGTH = 3000 };
  static scene own;
  uint32_t family = host_family(state);
  host_pair();
  there_run("ip link set vb mtu 9000");
  mctx_publication_options options = usual_options(family);
  set_scene(&own, family, &options);
  for (int round = 1; round <= 2; round++) {
    if (round == 2) set_mtu("va", 9000);
    assert_equal_ones_go(&own, COUNT, LENGTH);
    assert_counts(&own, round == 2, 1);
    if (round == 2) break;
    audience_leave(&own.remote); /* what follows is for nobody */
    send_alone(own.publication, RETRY_AFTER - COUNT - 1);
    assert_limits(own.publication, FIRST_LIMIT, LENGTH - 1);
    assert_told_too_large(own.publication);
    send_alone(own.publication, 1);
    assert_limits(own.publication, FIRST_LIMIT, FIRST_SIZE);
    assert_int_equal(info_of(own.publication).offload_status, MCTX_OK);
    audience_join(&own.remote, group_of(family), "vb", EVERY_EAR, true);
  }
  end_scene(&own);
}

/* Where nothing has changed, it is refused again, and that costs nobody a datagram. */
static void a_second_try_may_fail_like_the_first(void **state) {
  static scene own;
  uint32_t family = host_family(state);
  host_pair();
  mctx_publication_options options = usual_options(family);
  set_scene(&own, family, &options);
  assert_equal_ones_go(&own, 12, 3000);
  assert_counts(&own, 0, 1);
  audience_leave(&own.remote);
  send_alone(own.publication, RETRY_AFTER);
  audience_join(&own.remote, group_of(family), "vb", EVERY_EAR, true);
  assert_equal_ones_go(&own, 12, 3000);
  assert_counts(&own, 0, 2);
  assert_limits(own.publication, FIRST_LIMIT, 2999);
  assert_told_too_large(own.publication);
  end_scene(&own);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_closed_descriptor_is_no_refusal_of_the_system),
      BOTH_FAMILIES(datagrams_above_the_mtu_go_as_fragments),
      BOTH_FAMILIES(a_refusal_half_way_changes_nothing_for_receivers),
      BOTH_FAMILIES(the_mtu_sinks_and_rises_between_batches),
      BOTH_FAMILIES(the_mtu_sinks_and_rises_while_sending),
      BOTH_FAMILIES(a_route_leads_to_another_device),
      BOTH_FAMILIES(a_datagram_that_may_not_be_fragmented_is_too_large_itself),
      BOTH_FAMILIES(a_firewall_never_switches_offload_off),
      BOTH_FAMILIES(an_interface_that_is_down_is_no_refusal),
      BOTH_FAMILIES(nothing_comes_twice_when_the_link_fails_half_way),
      BOTH_FAMILIES(a_source_that_is_gone_is_no_refusal),
      cmocka_unit_test(a_socket_without_checksums_sends_all_the_same),
      BOTH_FAMILIES(offload_is_tried_again_after_many_datagrams),
      BOTH_FAMILIES(a_second_try_may_fail_like_the_first),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
