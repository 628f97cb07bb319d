/* SPDX-License-Identifier: MIT */
/* The library's objects in few words. */
#include "host.h"

#include <string.h>

mctx_address address_of(const char *text) {
  mctx_address address;
  mctx_error error = MCTX_ERROR_INIT;
  if (mctx_address_parse(text, &address, &error) != MCTX_OK) fail_msg("%s: %s", text, error.message);
  return address;
}

void assert_address(const mctx_address *address, const char *expected) {
  char text[64];
  size_t length;
  assert_ok(mctx_address_format(address, text, sizeof text, &length, NULL));
  assert_string_equal(text, expected);
}

const char *group_of(uint32_t family) {
  return family == 4 ? "239.7.7.7:5007" : "[ff15::7:7]:5007";
}

mctx_publication_options options_for(const char *group) {
  mctx_publication_options options;
  mctx_publication_options_init(&options, sizeof options);
  options.group = address_of(group);
  return options;
}

mctx_publication_options options_through(const char *group, const char *interface) {
  mctx_publication_options options = options_for(group);
  options.outgoing_interface.by = MCTX_INTERFACE_BY_NAME;
  options.outgoing_interface.name = interface;
  return options;
}

mctx_publication open_with(mctx_context context, const mctx_publication_options *options) {
  mctx_publication publication;
  mctx_error error = MCTX_ERROR_INIT;
  mctx_status status = mctx_publication_open(context, options, &publication, &error);
  if (status != MCTX_OK)
    fail_msg("%s (%s): %s: %s", mctx_status_name(status), error.field, error.message, error.hint);
  return publication;
}

mctx_publication open_through(mctx_context context, const char *group, const char *interface) {
  const mctx_publication_options options = options_through(group, interface);
  return open_with(context, &options);
}

mctx_context open_context(void) {
  mctx_context context;
  assert_ok(mctx_context_open(NULL, &context, NULL));
  return context;
}

mctx_publication_info info_of(mctx_publication publication) {
  mctx_publication_info info = {.size = sizeof info};
  assert_ok(mctx_publication_get_info(publication, &info, NULL));
  return info;
}

int socket_of(mctx_publication publication) {
  mctx_os_handle native;
  assert_ok(mctx_pollable(publication, &native, NULL));
  assert_int_equal(native.type, MCTX_OS_DESCRIPTOR);
  return (int)native.value;
}

uint64_t metric_of(mctx_handle handle, uint32_t kind, const char *name) {
  uint64_t values[64];
  uint32_t count;
  assert_ok(mctx_metrics(handle, values, 64, &count, NULL));
  for (uint32_t i = 0; i < count; i++)
    if (strcmp(mctx_metric_name(kind, i), name) == 0) return values[i];
  fail_msg("there is no counter %s", name);
  return 0;
}
