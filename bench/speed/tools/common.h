/* What the upstream writes and the load generator checks: numbered chunks of known bytes.

   A chunk's text is `~SEQ@NS;` and then letters up to its length: its number from 1, and when it was written
   (CLOCK_MONOTONIC, nanoseconds). Nothing in it needs escaping in JSON, so every dialect carries it as it is. */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define TOKEN 27 /* bytes of `~SEQ@NS;` */
#define MOST_BYTES 4096 /* of one chunk's text */

static uint64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static char letter(unsigned seq, unsigned at) { return (char)('a' + (seq * 7 + at) % 26); }

/* Writes `bytes` bytes of text. */
static inline void put_chunk(char *to, unsigned seq, uint64_t ns, unsigned bytes) {
    unsigned left = seq;
    to[0] = '~';
    for (int n = 5; n >= 1; n--, left /= 10) to[n] = (char)('0' + left % 10);
    to[6] = '@';
    for (int n = 25; n >= 7; n--, ns /= 10) to[n] = (char)('0' + ns % 10);
    to[26] = ';';
    for (unsigned at = TOKEN; at < bytes; at++) to[at] = letter(seq, at);
}

/* The chunk's time when these `bytes` bytes are chunk `seq`, 0 when they are not. */
static inline uint64_t read_chunk(const char *from, unsigned seq, unsigned bytes) {
    uint64_t found = 0, ns = 0;
    if (from[0] != '~' || from[6] != '@' || from[26] != ';') return 0;
    for (int n = 1; n < 6; n++) found = found * 10 + (uint64_t)(from[n] - '0');
    for (int n = 7; n < 26; n++) ns = ns * 10 + (uint64_t)(from[n] - '0');
    if (found != seq) return 0;
    for (unsigned at = TOKEN; at < bytes; at++)
        if (from[at] != letter(seq, at)) return 0;
    return ns;
}

static void die(const char *what) {
    fprintf(stderr, "%s: %s\n", what, strerror(errno));
    exit(1);
}
