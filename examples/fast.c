/* SPDX-License-Identifier: MIT */
/*
 * Sends many numbered datagrams as fast as it goes:   fast GROUP PORT COUNT SIZE [INTERFACE]
 *
 * They are written one behind the other into one buffer and all have one size: so a call takes many of them,
 * and the system hundreds with one call of its own.
 */
#include <mctx.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define AT_ONCE 512

static unsigned char buffer[AT_ONCE * 1472];

static int fail(const mctx_error *error) {
  fprintf(stderr, "%s: %s (%s)\n", error->operation, error->message, mctx_status_name(error->status));
  if (error->hint[0] != '\0') fprintf(stderr, "%s\n", error->hint);
  return 1;
}

/* Each datagram begins with its number. */
static void write_numbers(uint64_t first, uint64_t count, size_t size) {
  for (uint64_t i = 0; i < count; i++) {
    const uint64_t number = first + i;
    memcpy(buffer + i * size, &number, sizeof number);
  }
}

/* Waits where the socket's buffer is full; ends at the first failure, with what went before it. */
static mctx_status send_all(mctx_publication publication, uint64_t count, uint32_t size, mctx_error *error) {
  for (uint64_t sent = 0; sent < count;) {
    const uint64_t some = count - sent < AT_ONCE ? count - sent : AT_ONCE;
    uint64_t accepted;
    write_numbers(sent, some, size);
    mctx_status status =
        mctx_send_segments(publication, buffer, (size_t)some * size, size, 0, -1, &accepted, error);
    if (status != MCTX_OK) return status;
    sent += accepted;
  }
  return MCTX_OK;
}

static mctx_status print_counters(mctx_publication publication, mctx_error *error) {
  uint64_t values[64];
  uint32_t count;
  mctx_status status = mctx_metrics(publication, values, 64, &count, error);
  for (uint32_t i = 0; status == MCTX_OK && i < count && i < 64; i++)
    if (values[i] != 0)
      printf("%s %llu\n", mctx_metric_name(MCTX_HANDLE_PUBLICATION, i), (unsigned long long)values[i]);
  return status;
}

int main(int argc, char **argv) {
  const unsigned long size = argc > 4 ? strtoul(argv[4], NULL, 10) : 0;
  const uint64_t count = argc > 3 ? strtoull(argv[3], NULL, 10) : 0;
  if (count == 0 || size < sizeof(uint64_t) || size > sizeof buffer / AT_ONCE) {
    fprintf(stderr, "usage: %s GROUP PORT COUNT SIZE [INTERFACE]; COUNT is 1 or more, SIZE 8 to 1472\n",
            argv[0]);
    return 2;
  }
  mctx_error error = MCTX_ERROR_INIT;
  mctx_publication_options options;
  mctx_publication_options_init(&options, sizeof options);
  if (mctx_address_parse(argv[1], &options.group, &error) != MCTX_OK) return fail(&error);
  options.port = (int32_t)strtol(argv[2], NULL, 10);
  if (argc > 5) {
    options.outgoing_interface.by = MCTX_INTERFACE_BY_NAME;
    options.outgoing_interface.name = argv[5];
  }

  mctx_context context;
  mctx_publication publication;
  if (mctx_context_open(NULL, &context, &error) != MCTX_OK) return fail(&error);
  if (mctx_publication_open(context, &options, &publication, &error) != MCTX_OK) return fail(&error);
  if (send_all(publication, count, (uint32_t)size, &error) != MCTX_OK) return fail(&error);
  if (print_counters(publication, &error) != MCTX_OK) return fail(&error);
  return mctx_close(context, &error) == MCTX_OK ? 0 : fail(&error);
}
