/* SPDX-License-Identifier: MIT */
/* Sends one datagram to a group:   publish GROUP PORT TEXT [INTERFACE] */
#include <mctx.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int fail(const mctx_error *error) {
  fprintf(stderr, "%s: %s (%s)\n", error->operation, error->message, mctx_status_name(error->status));
  if (error->hint[0] != '\0') fprintf(stderr, "%s\n", error->hint);
  return 1;
}

int main(int argc, char **argv) {
  if (argc < 4) {
    fprintf(stderr, "usage: %s GROUP PORT TEXT [INTERFACE]\n", argv[0]);
    return 2;
  }
  mctx_error error = MCTX_ERROR_INIT;
  mctx_publication_options options;
  mctx_publication_options_init(&options, sizeof options);
  if (mctx_address_parse(argv[1], &options.group, &error) != MCTX_OK) return fail(&error);
  options.port = (int32_t)strtol(argv[2], NULL, 10);
  if (argc > 4) {
    options.outgoing_interface.by = MCTX_INTERFACE_BY_NAME;
    options.outgoing_interface.name = argv[4];
  }

  mctx_context context;
  mctx_publication publication;
  if (mctx_context_open(NULL, &context, &error) != MCTX_OK) return fail(&error);
  if (mctx_publication_open(context, &options, &publication, &error) != MCTX_OK) return fail(&error);
  if (mctx_send(publication, argv[3], strlen(argv[3]), &error) != MCTX_OK) return fail(&error);

  mctx_address source, group;
  char from[64], to[64];
  size_t length;
  if (mctx_publication_announce(publication, &source, &group, &error) != MCTX_OK) return fail(&error);
  if (mctx_address_format(&source, from, sizeof from, &length, &error) != MCTX_OK) return fail(&error);
  if (mctx_address_format(&group, to, sizeof to, &length, &error) != MCTX_OK) return fail(&error);
  printf("%zu bytes from %s to %s\n", strlen(argv[3]), from, to);
  return mctx_close(context, &error) == MCTX_OK ? 0 : fail(&error);
}
