/* SPDX-License-Identifier: MIT */
/* Pacing by the kernel: the rate of a socket, and which queues are known to keep to it. */
#include "lab.h"

#include <linux/pkt_sched.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "linux/queue.h"

/* ---- the rate ---- */

/* While true, the kernel is one before Linux 4.20: it looks at 32 bits of a rate, whatever it is given. These
 * stand in the place of libc's. */
static bool is_old;

static bool is_cut(int level, int name) {
  return is_old && level == SOL_SOCKET && name == SO_MAX_PACING_RATE;
}

int setsockopt(int socket, int level, int name, const void *value, socklen_t length) {
  const socklen_t looked_at = is_cut(level, name) ? sizeof(uint32_t) : length;
  return (int)syscall(SYS_setsockopt, socket, level, name, value, looked_at);
}

int getsockopt(int socket, int level, int name, void *value, socklen_t *length) {
  if (is_cut(level, name) && *length > sizeof(uint32_t)) *length = sizeof(uint32_t);
  return (int)syscall(SYS_getsockopt, socket, level, name, value, length);
}

static int64_t rate_of(mctx__socket socket, uint32_t family) {
  int64_t rate = -7;
  assert_done(mctx__socket_get(socket, family, MCTX__PACING_RATE, &rate));
  return rate;
}

static uint64_t native_rate(mctx__socket socket) {
  uint64_t rate = 0;
  socklen_t length = sizeof rate;
  assert_int_equal(0, getsockopt(mctx__descriptor(socket), SOL_SOCKET, SO_MAX_PACING_RATE, &rate, &length));
  return length == sizeof rate ? rate : (uint32_t)rate;
}

static void test_rates(void **state) {
  static const int64_t rates[] = {1, 125000, UINT32_MAX - INT64_C(2), UINT32_MAX - INT64_C(1)};
  const uint32_t family = host_family(state);
  mctx__socket socket = lab_socket(family);
  const uint64_t none = native_rate(socket);
  assert_int_equal(0, rate_of(socket, family)); /* as a socket is made */
  for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
    assert_done(mctx__socket_set(socket, family, MCTX__PACING_RATE, rates[i]));
    assert_int_equal(rates[i], rate_of(socket, family));
    assert_int_equal(rates[i], native_rate(socket));
    assert_done(mctx__socket_set(socket, family, MCTX__PACING_RATE, 0));
    assert_int_equal(0, rate_of(socket, family));
    assert_int_equal(none, native_rate(socket));
  }
  mctx__socket_close(socket);
}

/* Where the system holds 32 bits, the largest that these can say is taken. */
static void test_rates_beyond_32_bits(void **state) {
  static const int64_t rates[] = {UINT32_MAX, UINT32_MAX + INT64_C(1), INT64_C(125000000000), INT64_MAX};
  const uint32_t family = host_family(state);
  mctx__socket socket = lab_socket(family);
  for (int old = 0; old <= 1; old++) {
    const bool is_wide = old == 0 && sizeof(long) == 8;
    is_old = old != 0;
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
      assert_done(mctx__socket_set(socket, family, MCTX__PACING_RATE, rates[i]));
      assert_int_equal(is_wide ? rates[i] : UINT32_MAX - INT64_C(1), rate_of(socket, family));
    }
    assert_done(mctx__socket_set(socket, family, MCTX__PACING_RATE, 0));
    assert_int_equal(0, rate_of(socket, family));
  }
  is_old = false;
  mctx__socket_close(socket);
}

/* ---- what is read of queues ---- */

enum { DEVICE = 7, ROOT = 0x80010000, OTHER_ROOT = 0x80020000 };

/* One message of a dump, laid out as <linux/rtnetlink.h> and <linux/pkt_sched.h> say. */
typedef struct message {
  _Alignas(NLMSG_ALIGNTO) unsigned char bytes[512];
} message;

static struct nlmsghdr *header_of(message *own) {
  return (struct nlmsghdr *)(void *)own->bytes;
}

static message queue_message(int device, uint32_t handle, uint32_t parent) {
  message made = {{0}};
  const struct tcmsg queue = {.tcm_ifindex = device, .tcm_handle = handle, .tcm_parent = parent};
  *header_of(&made) = (struct nlmsghdr){.nlmsg_len = NLMSG_LENGTH(sizeof queue), .nlmsg_type = RTM_NEWQDISC};
  memcpy(made.bytes + NLMSG_HDRLEN, &queue, sizeof queue);
  return made;
}

static void add_attribute(message *own, uint16_t type, const void *data, size_t length) {
  const struct rtattr head = {.rta_len = (unsigned short)RTA_LENGTH(length), .rta_type = type};
  unsigned char *at = own->bytes + header_of(own)->nlmsg_len;
  memcpy(at, &head, sizeof head);
  if (length > 0) memcpy(at + RTA_LENGTH(0), data, length);
  header_of(own)->nlmsg_len += (uint32_t)RTA_SPACE(length);
}

static void add_kind(message *own, const char *kind) {
  add_attribute(own, TCA_KIND, kind, strlen(kind) + 1);
}

/* The options of `fq`: limits, and whether it keeps to rates. */
static void add_fq_options(message *own, uint32_t keeps, uint16_t nested) {
  struct {
    struct rtattr limit_head;
    uint32_t limit;
    struct rtattr keeps_head;
    uint32_t keeps;
  } options = {{RTA_LENGTH(sizeof(uint32_t)), TCA_FQ_PLIMIT},
               10000,
               {RTA_LENGTH(sizeof(uint32_t)), TCA_FQ_RATE_ENABLE},
               keeps};
  add_attribute(own, TCA_OPTIONS | nested, &options, sizeof options);
}

static mctx__queues queues;

static void begin(void) {
  queues = (mctx__queues){.index = DEVICE};
}

static void read_message(message own) {
  assert_done(mctx__queue_read(header_of(&own), &queues));
}

static void read_queue(const char *kind, int device, uint32_t handle, uint32_t parent) {
  message own = queue_message(device, handle, parent);
  add_kind(&own, kind);
  read_message(own);
}

static void test_a_root(void **state) {
  static const struct {
    const char *kind;
    bool paces;
  } rows[] = {{"fq", true},          {"fq_codel", false}, {"fq_pie", false}, {"noqueue", false},
              {"pfifo_fast", false}, {"tbf", false},      {"f", false},      {"", false},
              {"mq", false},         {"mqprio", false},   {"htb", false}};
  (void)state;
  for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
    begin();
    assert_false(mctx__queues_pace(&queues)); /* nothing is known */
    read_queue(rows[i].kind, DEVICE, ROOT, TC_H_ROOT);
    assert_int_equal(rows[i].paces, mctx__queues_pace(&queues));
  }
}

static void test_fq_that_leaves_rates_alone(void **state) {
  (void)state;
  for (uint32_t keeps = 0; keeps <= 1; keeps++) {
    for (int nested = 0; nested <= 1; nested++) {
      message own = queue_message(DEVICE, ROOT, TC_H_ROOT);
      add_kind(&own, "fq");
      add_fq_options(&own, keeps, nested != 0 ? NLA_F_NESTED : 0);
      begin();
      read_message(own);
      assert_int_equal(keeps, mctx__queues_pace(&queues));
    }
  }
}

static void read_multiple(uint32_t handle, const char *first, const char *second) {
  begin();
  read_queue("mq", DEVICE, handle, TC_H_ROOT);
  if (first != NULL) read_queue(first, DEVICE, 0x90010000, handle | 1);
  if (second != NULL) read_queue(second, DEVICE, 0, handle | 2);
}

/* The one that the system makes by itself has the handle 0. */
static void test_one_queue_for_each_of_the_device(void **state) {
  static const uint32_t handles[] = {ROOT, 0};
  (void)state;
  for (size_t i = 0; i < sizeof handles / sizeof handles[0]; i++) {
    read_multiple(handles[i], NULL, NULL);
    assert_false(mctx__queues_pace(&queues));
    read_multiple(handles[i], "fq", NULL);
    assert_true(mctx__queues_pace(&queues));
    read_multiple(handles[i], "fq", "fq");
    assert_true(mctx__queues_pace(&queues));
    read_multiple(handles[i], "fq", "fq_codel");
    assert_false(mctx__queues_pace(&queues));
    read_multiple(handles[i], "pfifo", "fq");
    assert_false(mctx__queues_pace(&queues));
  }
}

/* Below a queue that hands on by its own rules, `fq` is not known to be where the datagrams go. */
static void test_what_hangs_elsewhere_does_not_count(void **state) {
  (void)state;
  begin();
  read_queue("htb", DEVICE, ROOT, TC_H_ROOT);
  read_queue("fq", DEVICE, OTHER_ROOT, ROOT | 1);
  assert_false(mctx__queues_pace(&queues));

  begin();
  read_queue("mq", DEVICE, ROOT, TC_H_ROOT);
  read_queue("htb", DEVICE, OTHER_ROOT, ROOT | 1);
  read_queue("fq", DEVICE, 0, OTHER_ROOT | 1);
  assert_false(mctx__queues_pace(&queues));

  begin(); /* what is for arriving datagrams */
  read_queue("fq", DEVICE, ROOT, TC_H_ROOT);
  read_queue("ingress", DEVICE, 0xffff0000, TC_H_INGRESS);
  read_queue("clsact", DEVICE, 0xffff0000, TC_H_CLSACT);
  assert_true(mctx__queues_pace(&queues));

  begin(); /* of other devices */
  read_queue("fq", DEVICE + 1, ROOT, TC_H_ROOT);
  assert_false(mctx__queues_pace(&queues));
  read_queue("fq", DEVICE, ROOT, TC_H_ROOT);
  read_queue("pfifo", DEVICE - 1, ROOT, TC_H_ROOT);
  read_queue("pfifo", DEVICE + 1, 0, ROOT | 1);
  assert_true(mctx__queues_pace(&queues));
}

/* Whatever is cut short is not believed, and not read past its end. */
static void test_broken_messages(void **state) {
  message whole = queue_message(DEVICE, ROOT, TC_H_ROOT);
  (void)state;
  add_kind(&whole, "fq");
  const uint32_t length = header_of(&whole)->nlmsg_len;
  for (uint32_t cut = (uint32_t)sizeof(struct nlmsghdr); cut < length - 1; cut++) {
    message own = whole;
    header_of(&own)->nlmsg_len = cut;
    begin();
    read_message(own);
    assert_false(mctx__queues_pace(&queues));
  }
  message other = whole; /* another sort of message */
  header_of(&other)->nlmsg_type = RTM_NEWTCLASS;
  begin();
  read_message(other);
  assert_false(mctx__queues_pace(&queues));

  message unnamed = queue_message(DEVICE, ROOT, TC_H_ROOT);
  begin();
  read_message(unnamed);
  assert_false(mctx__queues_pace(&queues));

  message open = queue_message(DEVICE, ROOT, TC_H_ROOT); /* without the zero at the end */
  add_attribute(&open, TCA_KIND, "fq", 2);
  begin();
  read_message(open);
  assert_false(mctx__queues_pace(&queues));
}

/* ---- the queues of this kernel ---- */

static bool paces(const char *name) {
  return mctx__interface_paces(host_index(name));
}

static void test_queues_of_this_kernel(void **state) {
  (void)state;
  host_namespace();
  host_run("ip link add va numtxqueues 2 type veth peer name vb numtxqueues 2");
  host_run("ip link set va up && ip link set vb up");
  const uint32_t held = descriptors_held();
  assert_false(paces("lo"));
  assert_false(paces("va")); /* noqueue */
  assert_false(mctx__interface_paces(0));
  assert_false(mctx__interface_paces(9999));
  assert_int_equal(held, descriptors_held());
  if (!host_has("tc")) SKIP("the command tc is missing: apt-get install iproute2");
  host_run("tc qdisc replace dev va root pfifo");
  assert_false(paces("va"));
  host_run("tc qdisc replace dev va root tbf rate 1mbit burst 1600 limit 10000");
  assert_false(paces("va"));
  host_run("tc qdisc del dev va root && tc qdisc add dev va root mq");
  assert_false(paces("va"));
  if (!host_try("tc qdisc add dev vb root fq 2>/dev/null")) SKIP("this kernel has no queue of the kind fq");
  assert_true(paces("vb"));
  assert_false(paces("va"));
  host_run("tc qdisc replace dev vb root fq nopacing");
  assert_false(paces("vb"));
  host_run(
      "tc qdisc replace dev va parent $(tc qdisc show dev va | sed -n 's/^qdisc mq \\([^ ]*\\) .*/\\1/p')1 fq");
  assert_false(paces("va"));
  host_run(
      "tc qdisc replace dev va parent $(tc qdisc show dev va | sed -n 's/^qdisc mq \\([^ ]*\\) .*/\\1/p')2 fq");
  assert_true(paces("va"));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      BOTH_FAMILIES(test_rates),
      BOTH_FAMILIES(test_rates_beyond_32_bits),
      cmocka_unit_test(test_a_root),
      cmocka_unit_test(test_fq_that_leaves_rates_alone),
      cmocka_unit_test(test_one_queue_for_each_of_the_device),
      cmocka_unit_test(test_what_hangs_elsewhere_does_not_count),
      cmocka_unit_test(test_broken_messages),
      cmocka_unit_test(test_queues_of_this_kernel),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
