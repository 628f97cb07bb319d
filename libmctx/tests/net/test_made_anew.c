/* SPDX-License-Identifier: MIT */
/* Interfaces that are deleted and made anew under sockets that the kernel holds to them: by a connection to a
 * group of a narrow scope, by a link-local source, by a binding to the device. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "host/host.h"

static arrival got;

static void assert_arrives(mctx_publication publication, int remote) {
  mctx_error error = MCTX_ERROR_INIT;
  mctx_status status = mctx_send(publication, "anew", 4, &error);
  if (status != MCTX_OK) fail_msg("%s: %s: %s", mctx_status_name(status), error.message, error.hint);
  assert_true(receiver_next(remote, &got, PATIENCE_MS));
  assert_int_equal(got.length, 4);
  assert_memory_equal(got.data, "anew", 4);
}

static void assert_held_to(mctx_publication publication, const char *device) {
  char name[16] = "";
  socklen_t length = sizeof name;
  assert_int_equal(getsockopt(socket_of(publication), SOL_SOCKET, SO_BINDTODEVICE, name, &length), 0);
  assert_string_equal(name, device);
}

/* Sends, loses the interface, gets it back, sends again. */
static void lose_and_regain(const mctx_publication_options *options, const char *group) {
  int remote = receiver_there(group, "vb");
  mctx_context context = open_context();
  mctx_publication publication = open_with(context, options);
  assert_arrives(publication, remote);
  uint32_t old = host_index("va");
  host_run("ip link delete va");
  for (int i = 0; i < 3; i++)
    assert_status(mctx_send(publication, "lost", 4, NULL), MCTX_ERR_INTERFACE_GONE);
  close(remote);
  host_plug();
  remote = receiver_there(group, "vb");
  assert_int_not_equal(old, host_index("va"));
  assert_arrives(publication, remote);
  assert_int_equal(info_of(publication).interface_index, host_index("va"));
  if (options->bind_device != NULL) assert_held_to(publication, options->bind_device);
  assert_ok(mctx_close(context, NULL));
  close(remote);
}

static void a_link_local_group_follows(void **state) {
  (void)state;
  for (int32_t connected = 0; connected < 2; connected++) {
    host_pair();
    mctx_publication_options options = options_through("[ff12::7:7]:5007", "va");
    options.connected = connected;
    lose_and_regain(&options, "[ff12::7:7]:5007");
  }
}

static void a_device_follows(void **state) {
  uint32_t family = host_family(state);
  const char *group = family == 4 ? "239.7.7.7:5007" : "[ff15::7:7]:5007";
  for (int32_t connected = 0; connected < 2; connected++) {
    host_pair();
    mctx_publication_options options = options_for(group);
    options.bind_device = "va";
    options.connected = connected;
    lose_and_regain(&options, group);
  }
}

/* Another source means another connection, and dissolving the old one unbinds the device. */
static void a_device_is_kept_when_the_source_changes(void **state) {
  (void)state;
  host_pair();
  int remote = receiver_there("239.7.7.7:5007", "vb");
  mctx_context context = open_context();
  mctx_publication_options options = options_for("239.7.7.7:5007");
  options.bind_device = "va";
  mctx_publication publication = open_with(context, &options);
  assert_arrives(publication, remote);
  host_run("ip address delete 10.9.0.1/24 dev va");
  host_run("ip address add 10.9.0.7/24 dev va");
  assert_arrives(publication, remote);
  assert_held_to(publication, "va");
  got.source.port = 0;
  assert_address(&got.source, "10.9.0.7");
  assert_ok(mctx_close(context, NULL));
  close(remote);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      {"a_link_local_group_follows", a_link_local_group_follows, NULL, NULL,
       (void *)(uintptr_t)&host_families[1]},
      BOTH_FAMILIES(a_device_follows),
      cmocka_unit_test(a_device_is_kept_when_the_source_changes),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
