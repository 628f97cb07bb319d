/* SPDX-License-Identifier: MIT */
/* Sockets that come from the caller and go back to him, and what a publication's own socket is to others: its
 * port, its descriptor, an event loop's. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host/host.h"

enum { PORT = 5100 };

static arrival got;

static int plain_socket(uint32_t family) {
  int made = socket(family == 6 ? AF_INET6 : AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  assert_true(made >= 0);
  return made;
}

static void bind_port(int plain, uint32_t family, uint16_t port) {
  struct sockaddr_storage native;
  mctx_address address = {.family = (uint8_t)family, .port = port};
  socklen_t length = native_address(&native, &address);
  assert_int_equal(0, bind(plain, (struct sockaddr *)&native, length));
}

static void adopt(mctx_publication_options *options, int descriptor) {
  options->socket = (mctx_os_handle){.value = descriptor, .type = MCTX_OS_DESCRIPTOR};
}

/* ---- all that the kernel tells of a socket ---- */

enum { LEVELS = 4, NAMES = 120, VALUE = 160 };

static const int levels[LEVELS] = {SOL_SOCKET, IPPROTO_IP, IPPROTO_IPV6, IPPROTO_UDP};

typedef struct facts {
  struct {
    int code;
    socklen_t length;
    unsigned char value[VALUE];
  } options[LEVELS][NAMES];
  int flags;
  struct sockaddr_storage local;
  struct sockaddr_storage peer;
} facts;

/* What moves by itself, or is changed by asking. */
static bool is_restless(int level, int name) {
  return level == SOL_SOCKET && (name == SO_ERROR || name == SO_MEMINFO || name == SO_INCOMING_CPU);
}

static void look(int descriptor, facts *seen) {
  memset(seen, 0, sizeof *seen);
  for (int level = 0; level < LEVELS; level++) {
    for (int name = 0; name < NAMES; name++) {
      if (is_restless(levels[level], name)) continue;
      socklen_t length = VALUE;
      int failed = getsockopt(descriptor, levels[level], name, seen->options[level][name].value, &length);
      seen->options[level][name].code = failed != 0 ? errno : 0;
      seen->options[level][name].length = failed != 0 ? 0 : length;
    }
  }
  socklen_t length = sizeof seen->local;
  seen->flags = fcntl(descriptor, F_GETFL);
  getsockname(descriptor, (struct sockaddr *)&seen->local, &length);
  length = sizeof seen->peer;
  getpeername(descriptor, (struct sockaddr *)&seen->peer, &length);
}

static bool is_unchanged(const facts *before, int descriptor) {
  static facts now;
  look(descriptor, &now);
  if (memcmp(before, &now, sizeof now) == 0) return true;
  for (int level = 0; level < LEVELS; level++)
    for (int name = 0; name < NAMES; name++)
      if (memcmp(&before->options[level][name], &now.options[level][name], sizeof now.options[0][0]) != 0)
        print_message("option %d of level %d was %d and is %d\n", name, levels[level],
                      before->options[level][name].value[0], now.options[level][name].value[0]);
  print_message("flags were %#o and are %#o\n", (unsigned)before->flags, (unsigned)now.flags);
  return false;
}

static void set(int descriptor, int level, int name, int value) {
  if (setsockopt(descriptor, level, name, &value, sizeof value) != 0)
    fail_msg("option %d of level %d cannot be set to %d", name, level, value);
}

/* Somebody's socket with settings of his own, each other than the system's default and than ours. */
static void make_peculiar(int descriptor, uint32_t family) {
  int index = (int)host_index("lo");
  struct ip_mreqn interface = {.imr_ifindex = index, .imr_address = {htonl(INADDR_LOOPBACK)}};
  set(descriptor, SOL_SOCKET, SO_SNDBUF, 70000);
  if (family == 4) {
    set(descriptor, IPPROTO_IP, IP_MULTICAST_TTL, 7);
    set(descriptor, IPPROTO_IP, IP_MULTICAST_LOOP, 0);
    set(descriptor, IPPROTO_IP, IP_TOS, 0x32);
    set(descriptor, IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE);
    set(descriptor, IPPROTO_IP, IP_RECVERR, 1);
    set(descriptor, IPPROTO_IP, IP_TTL, 77);
    assert_int_equal(0, setsockopt(descriptor, IPPROTO_IP, IP_MULTICAST_IF, &interface, sizeof interface));
  } else {
    set(descriptor, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, 7);
    set(descriptor, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 0);
    set(descriptor, IPPROTO_IPV6, IPV6_TCLASS, 0x32);
    set(descriptor, IPPROTO_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE);
    set(descriptor, IPPROTO_IPV6, IPV6_RECVERR, 1);
    set(descriptor, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 77);
    set(descriptor, IPPROTO_IPV6, IPV6_MULTICAST_IF, index);
  }
  set(descriptor, SOL_SOCKET, SO_PRIORITY, 5);
}

/* ---- adoption that fails ---- */

/* Options that touch as much of a socket as there is. */
static mctx_publication_options thorough(uint32_t family, int descriptor) {
  mctx_publication_options options = options_through(group_of(family), "lo");
  options.hop_limit = 9;
  options.dscp = 46;
  options.error_queue = 1;
  options.dont_fragment = 1;
  options.priority = 3;
  options.send_buffer = 100000;
  options.bind_device = "lo";
  adopt(&options, descriptor);
  return options;
}

static void assert_refused(mctx_context context, const mctx_publication_options *options, mctx_status expected,
                           const facts *before) {
  mctx_publication publication = 7;
  mctx_error error = MCTX_ERROR_INIT;
  uint32_t held = descriptors_held();
  assert_status(mctx_publication_open(context, options, &publication, &error), expected);
  assert_int_equal(publication, 0);
  assert_string_not_equal(error.field, "");
  assert_int_equal(descriptors_held(), held);
  assert_true(is_unchanged(before, (int)options->socket.value));
}

/* The failure comes last, when everything has been set: the port is in use. */
static void a_refused_socket_is_as_it_was(void **state) {
  static facts before;
  uint32_t family = host_family(state);
  host_alone();
  int holder = plain_socket(family);
  bind_port(holder, family, PORT);
  mctx_context context = open_context();
  for (int peculiar = 0; peculiar <= 1; peculiar++) {
    for (int nonblocking = 0; nonblocking <= 1; nonblocking++) {
      int plain = plain_socket(family);
      if (peculiar != 0) make_peculiar(plain, family);
      if (nonblocking != 0) fcntl(plain, F_SETFL, fcntl(plain, F_GETFL) | O_NONBLOCK);
      look(plain, &before);
      mctx_publication_options options = thorough(family, plain);
      options.source_port = PORT;
      assert_refused(context, &options, MCTX_ERR_ADDRESS_IN_USE, &before);
      options.source_port = MCTX_AUTO;
      options.source = address_of(family == 4 ? "10.99.0.1" : "fd99::1");
      assert_refused(context, &options, MCTX_ERR_SOURCE_NOT_LOCAL, &before);
      options.source = (mctx_address){0};
      options.group = address_of(group_of(family == 4 ? 6 : 4));
      assert_refused(context, &options, MCTX_ERR_SOCKET_FAMILY, &before);
      close(plain);
    }
  }
  assert_ok(mctx_close(context, NULL));
  close(holder);
}

static void a_second_one_of_the_same_configuration_is_refused_untouched(void **state) {
  static facts before;
  uint32_t family = host_family(state);
  host_alone();
  mctx_context context = open_context();
  int first = plain_socket(family);
  int second = plain_socket(family);
  make_peculiar(second, family);
  look(second, &before);
  mctx_publication_options options = thorough(family, first);
  open_with(context, &options);
  options = thorough(family, second);
  assert_refused(context, &options, MCTX_ERR_PUBLICATION_EXISTS, &before);
  close(second);
  assert_ok(mctx_close(context, NULL));
  assert_int_equal(-1, fcntl(first, F_GETFD)); /* it was the library's */
}

/* In a child: nothing here may end the test by an assertion. */
static int adopt_with_a_mark(void *argument) {
  static facts before;
  mctx_error error = MCTX_ERROR_INIT;
  mctx_context context;
  mctx_publication publication;
  const mctx_publication_options *options = argument;
  if (setresuid(65534, 65534, 65534) != 0) return 77;
  look((int)options->socket.value, &before);
  if (mctx_context_open(NULL, &context, NULL) != MCTX_OK) return 1;
  mctx_status status = mctx_publication_open(context, options, &publication, &error);
  if (status != MCTX_ERR_PERMISSION || strcmp(error.field, "mark") != 0 || error.hint[0] == '\0') return 2;
  return is_unchanged(&before, (int)options->socket.value) ? 0 : 3;
}

/* Half-way: what comes before the mark is set already. */
static void a_right_that_is_missing_leaves_no_trace(void **state) {
  uint32_t family = host_family(state);
  host_alone();
  int plain = plain_socket(family);
  make_peculiar(plain, family);
  mctx_publication_options options = thorough(family, plain);
  options.mark = 42;
  int code = in_child(adopt_with_a_mark, &options);
  close(plain);
  if (code == 77) SKIP("this user cannot become nobody");
  assert_int_equal(code, 0);
}

static void what_is_no_udp_socket_is_refused(void **state) {
  uint32_t family = host_family(state);
  int pipes[2];
  mctx_publication publication;
  mctx_error error = MCTX_ERROR_INIT;
  host_alone();
  mctx_context context = open_context();
  mctx_publication_options options = options_through(group_of(family), "lo");
  assert_int_equal(0, pipe(pipes));
  int stream = socket(family == 6 ? AF_INET6 : AF_INET, SOCK_STREAM, 0);
  const struct {
    int descriptor;
    mctx_status expected;
  } refused[] = {
      {pipes[0], MCTX_ERR_NOT_A_SOCKET}, {stream, MCTX_ERR_SOCKET_TYPE}, {9999, MCTX_ERR_NOT_A_SOCKET}};
  for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++) {
    adopt(&options, refused[i].descriptor);
    assert_status(mctx_publication_open(context, &options, &publication, &error), refused[i].expected);
    assert_string_equal(error.field, "socket");
    assert_string_not_equal(error.hint, "");
  }
  int bound = plain_socket(family);
  bind_port(bound, family, PORT);
  adopt(&options, bound);
  options.source_port = PORT + 1;
  assert_status(mctx_publication_open(context, &options, &publication, &error), MCTX_ERR_SOCKET_PORT);
  assert_int_equal(error.value, PORT);
  close(bound);
  close(stream);
  close(pipes[0]);
  close(pipes[1]);
  assert_ok(mctx_close(context, NULL));
}

/* ---- adoption that succeeds, and taking out ---- */

static void an_adopted_socket_sends_and_comes_back(void **state) {
  uint32_t family = host_family(state);
  mctx_os_handle native;
  host_alone();
  int receiver = receiver_open(group_of(family), "lo");
  int plain = plain_socket(family);
  bind_port(plain, family, PORT);
  mctx_context context = open_context();
  mctx_publication_options options = options_through(group_of(family), "lo");
  options.hop_limit = 9;
  adopt(&options, plain);
  uint32_t held = descriptors_held();
  mctx_publication publication = open_with(context, &options);
  assert_int_equal(socket_of(publication), plain);
  assert_true((info_of(publication).flags & MCTX_PUBLICATION_ADOPTED) != 0);
  assert_ok(mctx_send(publication, "ours", 4, NULL));
  assert_true(receiver_next(receiver, &got, PATIENCE_MS));
  assert_int_equal(got.source.port, PORT);
  assert_int_equal(got.hop_limit, 9);

  assert_ok(mctx_publication_take(publication, &native, NULL));
  assert_int_equal(native.type, MCTX_OS_DESCRIPTOR);
  assert_int_equal(native.value, plain);
  assert_int_equal(descriptors_held(), held);
  assert_status(mctx_send(publication, "gone", 4, NULL), MCTX_ERR_CLOSED);
  assert_status(mctx_publication_take(publication, &native, NULL), MCTX_ERR_CLOSED);
  assert_ok(mctx_close(context, NULL));
  assert_true((fcntl(plain, F_GETFL) & O_NONBLOCK) != 0);
  assert_int_equal(4, send(plain, "mine", 4, 0)); /* still connected, still configured */
  assert_true(receiver_next(receiver, &got, PATIENCE_MS));
  assert_int_equal(got.hop_limit, 9);
  close(plain);
  close(receiver);
}

/* The owner's cutting and collecting would make something else of what is sent. */
static void each_send_on_an_adopted_socket_is_a_datagram(void **state) {
  static const size_t lengths[] = {250, 90, 300, 300, 300, 100};
  static unsigned char payload[300];
  mctx_slice slices[6];
  uint32_t family = host_family(state);
  const int cut = 100;
  const int collect = 1;
  uint64_t accepted;
  host_alone();
  int receiver = receiver_open(group_of(family), "lo");
  int plain = plain_socket(family);
  assert_int_equal(0, setsockopt(plain, IPPROTO_UDP, UDP_SEGMENT, &cut, sizeof cut));
  assert_int_equal(0, setsockopt(plain, IPPROTO_UDP, UDP_CORK, &collect, sizeof collect));
  mctx_context context = open_context();
  mctx_publication_options options = options_through(group_of(family), "lo");
  adopt(&options, plain);
  mctx_publication publication = open_with(context, &options);
  for (int i = 0; i < 6; i++)
    slices[i] = (mctx_slice){.data = payload, .length = lengths[i]};
  assert_ok(mctx_send(publication, payload, lengths[0], NULL));
  assert_ok(mctx_send_batch(publication, slices + 1, 5, 0, 0, &accepted, NULL));
  assert_int_equal(accepted, 5);
  for (int i = 0; i < 6; i++) {
    assert_true(receiver_next(receiver, &got, PATIENCE_MS));
    assert_int_equal(got.length, lengths[i]);
  }
  assert_ok(mctx_close(context, NULL));
  close(receiver);
}

/* ---- the port ---- */

static void the_port_is_free_after_closing(void **state) {
  uint32_t family = host_family(state);
  host_alone();
  uint32_t held = descriptors_held();
  for (int i = 0; i < 50; i++) {
    mctx_context context = open_context();
    mctx_publication_options options = options_through(group_of(family), "lo");
    options.source_port = PORT;
    options.reuse_port = 0;
    mctx_publication publication = open_with(context, &options);
    assert_ok(mctx_send(publication, "x", 1, NULL));
    if (i % 2 == 0) assert_ok(mctx_close(publication, NULL));
    if (i % 2 == 1) assert_ok(mctx_close(context, NULL));
    int plain = plain_socket(family);
    bind_port(plain, family, PORT); /* without sharing */
    close(plain);
    if (i % 2 == 0) assert_ok(mctx_close(context, NULL));
  }
  assert_int_equal(descriptors_held(), held);
}

/* ---- event loops ---- */

static uint32_t polled(int loop, int timeout_ms) {
  struct epoll_event event = {0};
  return epoll_wait(loop, &event, 1, timeout_ms) == 1 ? event.events : 0;
}

/* A slow link makes room within milliseconds, in which this test may be held up. */
static void assert_silent_when_full(int loop, mctx_publication publication) {
  enum { TRIES = 50 };
  static const char payload[1000];
  uint32_t events = EPOLLOUT;
  for (int tries = 0; tries < TRIES && events != 0; tries++) {
    mctx_status status = MCTX_OK;
    for (int i = 0; i < 1000 && status == MCTX_OK; i++)
      status = mctx_send(publication, payload, sizeof payload, NULL);
    assert_status(status, MCTX_ERR_WOULD_BLOCK);
    events = polled(loop, 0);
  }
  assert_int_equal(events, 0);
}

static void an_event_loop_sees_when_there_is_room(void **state) {
  uint32_t family = host_family(state);
  host_pair();
  if (!host_try("tc qdisc add dev va root tbf rate 1mbit burst 2kb limit 1mb"))
    SKIP("this host has no tbf queue");
  mctx_context context = open_context();
  mctx_publication_options options = options_through(group_of(family), "va");
  options.send_buffer = 1;
  mctx_publication publication = open_with(context, &options);
  int loop = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event wanted = {.events = EPOLLOUT};
  assert_int_equal(0, epoll_ctl(loop, EPOLL_CTL_ADD, socket_of(publication), &wanted));
  assert_int_equal(polled(loop, 0), EPOLLOUT);
  assert_int_equal(polled(loop, 0), EPOLLOUT); /* as long as there is room */
  for (int full = 0; full < 3; full++) {
    assert_silent_when_full(loop, publication);
    assert_int_equal(polled(loop, PATIENCE_MS), EPOLLOUT);
  }
  assert_ok(mctx_close(publication, NULL));
  assert_int_equal(polled(loop, 10), 0); /* the descriptor is gone, and its registration with it */
  close(loop);
  assert_ok(mctx_close(context, NULL));
}

static void descriptors_are_not_inherited_by_programs(void **state) {
  enum { SOME = 200 };
  uint32_t family = host_family(state);
  uint32_t ready;
  bool was_open[SOME];
  uint32_t ours = 0;
  host_alone();
  for (int descriptor = 0; descriptor < SOME; descriptor++)
    was_open[descriptor] = fcntl(descriptor, F_GETFD) >= 0;
  mctx_context context = open_context();
  mctx_publication publication = open_through(context, group_of(family), "lo");
  assert_status(mctx_wait(publication, 0, 0, MILLI, &ready, NULL), MCTX_ERR_TIMEOUT); /* opens the event */
  assert_status(mctx_wait(context, 0, 0, MILLI, &ready, NULL), MCTX_ERR_TIMEOUT);
  for (int descriptor = 0; descriptor < SOME; descriptor++) {
    if (was_open[descriptor] || fcntl(descriptor, F_GETFD) < 0) continue;
    assert_int_equal(fcntl(descriptor, F_GETFD), FD_CLOEXEC);
    ours++;
  }
  assert_int_equal(ours, 3);
  assert_ok(mctx_close(context, NULL));
}

int main(void) {
  const struct CMUnitTest tests[] = {
      BOTH_FAMILIES(a_refused_socket_is_as_it_was),
      BOTH_FAMILIES(a_second_one_of_the_same_configuration_is_refused_untouched),
      BOTH_FAMILIES(a_right_that_is_missing_leaves_no_trace),
      BOTH_FAMILIES(what_is_no_udp_socket_is_refused),
      BOTH_FAMILIES(an_adopted_socket_sends_and_comes_back),
      BOTH_FAMILIES(each_send_on_an_adopted_socket_is_a_datagram),
      BOTH_FAMILIES(the_port_is_free_after_closing),
      BOTH_FAMILIES(an_event_loop_sees_when_there_is_room),
      BOTH_FAMILIES(descriptors_are_not_inherited_by_programs),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
