/* SPDX-License-Identifier: MIT */
/* Reads the case files of a folder, runs those that are wanted, reports. */
#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "runner.h"

#define MAX_FILES    64
#define MAX_CASES    2048
#define CASE_SECONDS 60

typedef struct settings {
  const char *folder;
  const char *filter;
  const char *format;
  const char *transcript;
  const char *without; /* a capability that is taken for missing */
  bool list;
  bool negative;
} settings;

typedef struct suite {
  yyjson_doc *files[MAX_FILES];
  size_t file_count;
  struct {
    char name[160];
    json *definition;
  } cases[MAX_CASES];
  size_t count;
} suite;

static const char *running = "";

/* A case that hangs ends the run; which one it was must be known. */
static void on_alarm(int number) {
  (void)number;
  static const char message[] = "runner: this case hangs: ";
  ssize_t ignored = write(STDERR_FILENO, message, sizeof message - 1);
  ignored = write(STDERR_FILENO, running, strlen(running));
  ignored = write(STDERR_FILENO, "\n", 1);
  (void)ignored;
  _exit(98);
}

static int usage(void) {
  fputs(
      "usage: runner [--filter TEXT] [--list] [--format tap|json|junit] [--transcript FILE]\n"
      "              [--without CAPABILITY] [--negative] FOLDER\n",
      stderr);
  return 2;
}

static bool read_settings(int count, char **words, settings *to) {
  *to = (settings){.format = "tap"};
  for (int i = 1; i < count; i++) {
    const char **slot = NULL;
    if (strcmp(words[i], "--list") == 0) {
      to->list = true;
    } else if (strcmp(words[i], "--negative") == 0) {
      to->negative = true;
    } else if (strcmp(words[i], "--filter") == 0) {
      slot = &to->filter;
    } else if (strcmp(words[i], "--format") == 0) {
      slot = &to->format;
    } else if (strcmp(words[i], "--transcript") == 0) {
      slot = &to->transcript;
    } else if (strcmp(words[i], "--without") == 0) {
      slot = &to->without;
    } else if (words[i][0] == '-' || to->folder != NULL) {
      return false;
    } else {
      to->folder = words[i];
    }
    if (slot != NULL && ++i == count) return false;
    if (slot != NULL) *slot = words[i];
  }
  bool known =
      strcmp(to->format, "tap") == 0 || strcmp(to->format, "json") == 0 || strcmp(to->format, "junit") == 0;
  return to->folder != NULL && known;
}

static int only_json(const struct dirent *entry) {
  size_t length = strlen(entry->d_name);
  return length > 5 && strcmp(entry->d_name + length - 5, ".json") == 0;
}

static int by_name(const struct dirent **left, const struct dirent **right) {
  return strcmp((*left)->d_name, (*right)->d_name);
}

static bool load_file(suite *to, const char *path, const settings *s) {
  yyjson_read_err problem;
  yyjson_doc *doc = yyjson_read_file(path, 0, NULL, &problem);
  if (doc == NULL || to->file_count == MAX_FILES) {
    fprintf(stderr, "runner: %s: %s\n", path, doc ? "too many files" : problem.msg);
    return false;
  }
  to->files[to->file_count++] = doc;
  json *root = yyjson_doc_get_root(doc);
  size_t position, count;
  json *one;
  yyjson_arr_foreach(yyjson_obj_get(root, "cases"), position, count, one) {
    if (to->count == MAX_CASES) return false;
    char *name = to->cases[to->count].name;
    snprintf(name, sizeof to->cases[0].name, "%s/%s", yyjson_get_str(yyjson_obj_get(root, "theme")),
             yyjson_get_str(yyjson_obj_get(one, "name")));
    if (s->filter != NULL && strstr(name, s->filter) == NULL) continue;
    to->cases[to->count++].definition = one;
  }
  return true;
}

static bool load(suite *to, const settings *s) {
  char path[4096];
  snprintf(path, sizeof path, "%s/fields.json", s->folder);
  if (!fields_load(path)) {
    fprintf(stderr, "runner: cannot read %s\n", path);
    return false;
  }
  char folder[3072];
  snprintf(folder, sizeof folder, "%s/%s", s->folder, s->negative ? "negative" : "cases");
  struct dirent **names = NULL;
  int count = scandir(folder, &names, only_json, by_name);
  bool done = count > 0;
  if (!done) fprintf(stderr, "runner: no cases in %s\n", folder);
  for (int i = 0; i < count; i++) {
    snprintf(path, sizeof path, "%s/%s", folder, names[i]->d_name);
    done = done && load_file(to, path, s);
    free(names[i]);
  }
  free(names);
  return done;
}

static const char *why_skip(json *definition, const char *without) {
  size_t position, count;
  json *name;
  yyjson_arr_foreach(yyjson_obj_get(definition, "requires"), position, count, name) {
    if (without != NULL && yyjson_equals_str(name, without)) return "asked to do without";
    const char *reason = capability_missing(yyjson_get_str(name));
    if (reason != NULL) return reason;
  }
  return NULL;
}

/* A deliberately wrong case passes when it fails where it says that it would. */
static void judge_negative(json *definition, outcome *result) {
  json *fails = yyjson_obj_get(definition, "fails");
  size_t step = (size_t)yyjson_get_uint(yyjson_obj_get(fails, "step"));
  const char *where = yyjson_get_str(yyjson_obj_get(fails, "where"));
  if (result->failed && result->step == step && strcmp(result->where, where) == 0) {
    result->failed = false;
    return;
  }
  char found[256];
  snprintf(found, sizeof found, "it should have failed in step %zu at %s, and %s at %s", step, where,
           result->failed ? "failed" : "did not", result->where);
  result->failed = true;
  snprintf(result->where, sizeof result->where, "negative");
  memcpy(result->because, found, sizeof found);
}

/* What the library opens once for the process is not a leak. */
static void warm_up(void) {
  mctx_context context = 0;
  if (mctx_context_open(NULL, &context, NULL) == MCTX_OK) mctx_close(context, NULL);
}

static void run_all(const suite *all, const settings *s, report *to, text *transcript) {
  warm_up();
  signal(SIGALRM, on_alarm);
  for (size_t i = 0; i < all->count; i++) {
    report_entry *e = &to->entries[to->count++];
    e->name = running = all->cases[i].name;
    sim_case_begin(); /* what is required is asked for anew */
    e->skipped = why_skip(all->cases[i].definition, s->without);
    if (e->skipped != NULL) {
      e->skipped = strdup(e->skipped);
      to->skipped++;
      continue;
    }
    alarm(CASE_SECONDS);
    case_run(e->name, all->cases[i].definition, transcript, &e->result);
    alarm(0);
    if (s->negative) judge_negative(all->cases[i].definition, &e->result);
    *(e->result.failed ? &to->failed : &to->passed) += 1;
  }
}

static bool write_transcript(const char *path, const text *transcript) {
  FILE *file = fopen(path, "wb");
  if (file == NULL) return false;
  bool written = fwrite(text_get(transcript), 1, transcript->length, file) == transcript->length;
  return fclose(file) == 0 && written;
}

static void free_all(suite *all, report *results, text *transcript) {
  for (size_t i = 0; i < results->count; i++) {
    if (results->entries[i].skipped != NULL) free((void *)(uintptr_t)results->entries[i].skipped);
  }
  for (size_t i = 0; all != NULL && i < all->file_count; i++)
    yyjson_doc_free(all->files[i]);
  fields_unload();
  text_free(transcript);
  free(results->entries);
  free(all);
}

int main(int count, char **words) {
  settings s;
  if (!read_settings(count, words, &s)) return usage();
  suite *all = calloc(1, sizeof *all);
  report results = {.entries = calloc(MAX_CASES, sizeof(report_entry))};
  text transcript = {0};
  int status = 2;
  if (all == NULL || results.entries == NULL || !load(all, &s)) goto done;
  if (s.list) {
    for (size_t i = 0; i < all->count; i++)
      puts(all->cases[i].name);
    status = 0;
    goto done;
  }
  run_all(all, &s, &results, &transcript);
  if (s.transcript != NULL && !write_transcript(s.transcript, &transcript)) {
    fprintf(stderr, "runner: cannot write %s\n", s.transcript);
    goto done;
  }
  report_write(&results, s.format, stdout);
  fflush(stdout);
  fprintf(stderr, "%zu passed, %zu failed, %zu skipped\n", results.passed, results.failed, results.skipped);
  status = results.failed == 0 && results.passed != 0 ? 0 : 1;
done:
  free_all(all, &results, &transcript);
  return status;
}
