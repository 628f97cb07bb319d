/* SPDX-License-Identifier: MIT */
/* Lists the interfaces, their addresses, and where multicast leaves by default. */
#include <mctx.h>
#include <stdio.h>

static int print_addresses(mctx_interface_list list, uint32_t position, mctx_error *error) {
  mctx_address addresses[64];
  uint32_t count;
  if (mctx_interface_list_addresses(list, position, addresses, 64, &count, error) != MCTX_OK) return 1;
  for (uint32_t i = 0; i < count && i < 64; i++) {
    char text[64];
    size_t length;
    if (mctx_address_format(&addresses[i], text, sizeof text, &length, error) != MCTX_OK) return 1;
    printf("    %s\n", text);
  }
  return 0;
}

static int print_all(mctx_interface_list list, mctx_error *error) {
  uint32_t count;
  if (mctx_interface_list_count(list, &count, error) != MCTX_OK) return 1;
  for (uint32_t position = 0; position < count; position++) {
    mctx_interface_info info = {.size = sizeof info};
    if (mctx_interface_list_get(list, position, &info, error) != MCTX_OK) return 1;
    printf("%u %s, MTU %u%s%s%s\n", info.index, info.name, info.mtu,
           info.flags & MCTX_INTERFACE_UP ? ", up" : "",
           info.flags & MCTX_INTERFACE_MULTICAST ? ", multicast" : "",
           info.flags & MCTX_INTERFACE_LOOPBACK ? ", loopback" : "");
    if (print_addresses(list, position, error) != 0) return 1;
  }
  for (uint32_t family = 4; family <= 6; family += 2) {
    uint32_t position;
    mctx_interface_info info = {.size = sizeof info};
    if (mctx_interface_list_default(list, family, &position, error) != MCTX_OK ||
        mctx_interface_list_get(list, position, &info, error) != MCTX_OK) {
      printf("default of IPv%u: none (%s)\n", family, error->message);
    } else {
      printf("default of IPv%u: %s\n", family, info.name);
    }
  }
  return 0;
}

int main(void) {
  mctx_error error = MCTX_ERROR_INIT;
  mctx_interface_list list;
  int failed = mctx_interface_list_open(&list, &error) != MCTX_OK || print_all(list, &error) != 0;
  if (failed) fprintf(stderr, "%s: %s\n", error.operation, error.message);
  (void)mctx_close(list, NULL);
  return failed;
}
