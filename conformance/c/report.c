/* SPDX-License-Identifier: MIT */
/* TAP 14, JSON and JUnit. */
#include <string.h>

#include "runner.h"

static void write_tap(const report *of, FILE *to) {
  fprintf(to, "TAP version 14\n1..%zu\n", of->count);
  for (size_t i = 0; i < of->count; i++) {
    const report_entry *e = &of->entries[i];
    fprintf(to, "%s %zu - %s%s%s\n", e->result.failed ? "not ok" : "ok", i + 1, e->name,
            e->skipped ? " # SKIP " : "", e->skipped ? e->skipped : "");
    if (e->result.failed) {
      fprintf(to, "# step %zu, %s: %s\n", e->result.step, e->result.where, e->result.because);
    }
  }
}

static const char *state(const report_entry *e) {
  if (e->skipped) return "skipped";
  return e->result.failed ? "failed" : "passed";
}

static void write_json(const report *of, FILE *to) {
  document *doc = yyjson_mut_doc_new(NULL);
  value *root = yyjson_mut_obj(doc);
  yyjson_mut_doc_set_root(doc, root);
  yyjson_mut_obj_add_str(doc, root, "runner", "c");
  yyjson_mut_obj_add_str(doc, root, "library", mctx_version());
  yyjson_mut_obj_add_bool(doc, root, "simulated", sim_available());
  yyjson_mut_obj_add_uint(doc, root, "passed", of->passed);
  yyjson_mut_obj_add_uint(doc, root, "failed", of->failed);
  yyjson_mut_obj_add_uint(doc, root, "skipped", of->skipped);
  value *cases = yyjson_mut_obj_add_arr(doc, root, "cases");
  for (size_t i = 0; i < of->count; i++) {
    const report_entry *e = &of->entries[i];
    value *one = yyjson_mut_arr_add_obj(doc, cases);
    yyjson_mut_obj_add_str(doc, one, "name", e->name);
    yyjson_mut_obj_add_str(doc, one, "state", state(e));
    if (e->skipped) yyjson_mut_obj_add_str(doc, one, "reason", e->skipped);
    if (!e->result.failed) continue;
    yyjson_mut_obj_add_uint(doc, one, "step", e->result.step);
    yyjson_mut_obj_add_str(doc, one, "where", e->result.where);
    yyjson_mut_obj_add_str(doc, one, "because", e->result.because);
  }
  yyjson_mut_write_fp(to, doc, YYJSON_WRITE_PRETTY_TWO_SPACES, NULL, NULL);
  fputc('\n', to);
  yyjson_mut_doc_free(doc);
}

static void write_xml_text(const char *from, FILE *to) {
  for (; *from != '\0'; from++) {
    switch (*from) {
      case '<':
        fputs("&lt;", to);
        break;
      case '>':
        fputs("&gt;", to);
        break;
      case '&':
        fputs("&amp;", to);
        break;
      case '"':
        fputs("&quot;", to);
        break;
      default:
        fputc(*from, to);
    }
  }
}

static void write_junit(const report *of, FILE *to) {
  fputs("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n", to);
  fprintf(to, "<testsuite name=\"conformance-c\" tests=\"%zu\" failures=\"%zu\" skipped=\"%zu\">\n", of->count,
          of->failed, of->skipped);
  for (size_t i = 0; i < of->count; i++) {
    const report_entry *e = &of->entries[i];
    const char *name = strchr(e->name, '/') + 1;
    fprintf(to, "  <testcase classname=\"%.*s\" name=\"%s\">", (int)(name - e->name - 1), e->name, name);
    if (e->skipped || e->result.failed) {
      fprintf(to, "<%s message=\"", e->skipped ? "skipped" : "failure");
      if (!e->skipped) fprintf(to, "step %zu, %s: ", e->result.step, e->result.where);
      write_xml_text(e->skipped ? e->skipped : e->result.because, to);
      fputs("\"/>", to);
    }
    fputs("</testcase>\n", to);
  }
  fputs("</testsuite>\n", to);
}

void report_write(const report *of, const char *format, FILE *to) {
  if (strcmp(format, "json") == 0) {
    write_json(of, to);
  } else if (strcmp(format, "junit") == 0) {
    write_junit(of, to);
  } else {
    write_tap(of, to);
  }
}
