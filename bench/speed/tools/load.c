/* A load generator that reads every byte: so many connections, each with one request at a time.

       load PORT CONNECTIONS REQUEST-FILE CHUNKS BYTES MARKER TAIL SECONDS REQUESTS RAMP TIMEOUT

   The file holds a request as it goes over the wire. A good answer has status 200, the texts of chunks 1 to CHUNKS, of
   BYTES bytes each, in this order with none missing and none beyond, MARKER in its last TAIL bytes, and ends as HTTP
   says. New requests begin for SECONDS, or until there were REQUESTS; the connections begin evenly over RAMP milliseconds. What has not
   ended after TIMEOUT seconds is bad. Every 500 connections have an address of their own: servers bound what one client
   may open. Prints one JSON object: counts, by what was wrong, and microseconds. */
#define _GNU_SOURCE
#include "common.h"
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define EACH 500

enum wrong { STATUS, ORDER, CUT, MARKER, SURPLUS, REFUSED, LATE, WRONGS };
static const char *names[] = {"status", "order", "cut", "marker", "surplus", "refused", "late"};

struct line {
    unsigned number;
    int fd, open, asked;
    char *raw, *body; /* what is not yet read as HTTP; what is not yet read as text */
    size_t raw_held, raw_room, held, room, read;
    enum { HEAD, SIZE, DATA, AFTER, TRAILER } at;
    int chunked, closes, until_end;
    size_t left;
    unsigned seen;
    uint64_t began, first;
};

struct figures {
    uint32_t *of;
    size_t count, room;
};

static struct figures latency, first_chunk, delay;
static uint64_t bad[WRONGS], requests, chunks, reconnects, begun, most;
static uint64_t started, ends, now;
static unsigned want_chunks, want_bytes;
static size_t tail;
static const char *marker;
static char *request;
static size_t request_size;
static struct sockaddr_in to = {.sin_family = AF_INET};
static int poller, busy;
static char first_wrong[400];

static void note(struct figures *figures, uint64_t ns) {
    if (figures->count == figures->room) {
        figures->room = figures->room ? 2 * figures->room : 65536;
        figures->of = realloc(figures->of, figures->room * sizeof *figures->of);
    }
    figures->of[figures->count++] = (uint32_t)(ns / 1000);
}

static void ask(struct line *line);

static void dial(struct line *line) {
    struct sockaddr_in from = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK + line->number / EACH)};
    int one = 1;
    line->fd = socket(AF_INET, SOCK_STREAM, 0);
    setsockopt(line->fd, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &one, sizeof one);
    line->raw_held = 0;
    if (line->fd < 0 || bind(line->fd, (struct sockaddr *)&from, sizeof from) ||
        connect(line->fd, (struct sockaddr *)&to, sizeof to)) {
        line->open = 0;
        if (line->fd >= 0) close(line->fd);
        return;
    }
    fcntl(line->fd, F_SETFL, O_NONBLOCK);
    setsockopt(line->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = line};
    epoll_ctl(poller, EPOLL_CTL_ADD, line->fd, &event);
    line->open = 1;
}

static void hang_up(struct line *line) {
    if (line->open) close(line->fd);
    line->open = 0;
}

static void ended(struct line *line) {
    line->asked = 0;
    busy--;
    if (line->closes) hang_up(line);
    if (now < ends && (!most || begun < most)) {
        if (!line->open) reconnects++;
        ask(line);
    }
}

static void wrong(struct line *line, enum wrong what) {
    if (!first_wrong[0]) {
        const char *from = line->body && line->held ? line->body : line->raw ? line->raw : "";
        size_t size = line->body && line->held ? line->held : line->raw ? line->raw_held : 0;
        for (size_t n = 0; n < size && n < sizeof first_wrong - 1; n++)
            first_wrong[n] = from[n] < ' ' || from[n] == '"' || from[n] == '\\' || from[n] == 127 ? '.' : from[n];
    }
    bad[what]++;
    line->closes = 1;
    if (bad[REFUSED] + bad[CUT] > 1000) ends = 0; /* nobody is there: no busy loop */
    ended(line);
}

static void ask(struct line *line) {
    begun++;
    busy++;
    line->asked = 1;
    line->at = HEAD;
    line->held = line->read = 0;
    line->seen = 0;
    line->first = 0;
    line->closes = 0;
    line->began = now_ns();
    if (!line->open) dial(line);
    if (!line->open || send(line->fd, request, request_size, MSG_NOSIGNAL) != (ssize_t)request_size) wrong(line, REFUSED);
}

/* Reads the chunks that are whole in what came. 0: as they should be. */
static int look(struct line *line) {
    char *end = line->body + line->held, *from;
    while ((from = memchr(line->body + line->read, '~', (size_t)(end - line->body) - line->read))) {
        line->read = (size_t)(from - line->body);
        if (end - from < (ssize_t)want_bytes) break;
        uint64_t sent = read_chunk(from, line->seen + 1, want_bytes);
        if (!sent || line->seen == want_chunks) return -1;
        if (!line->first) line->first = now;
        line->seen++;
        chunks++;
        note(&delay, now > sent ? now - sent : 0);
        line->read += want_bytes;
    }
    if (!from) line->read = line->held;
    size_t keep = line->read > tail ? line->read - tail : 0;
    if (keep > 16384) {
        memmove(line->body, line->body + keep, line->held - keep);
        line->held -= keep;
        line->read -= keep;
    }
    return 0;
}

static int feed(struct line *line, const char *data, size_t size) {
    if (line->held + size > line->room) {
        line->room = 2 * (line->held + size);
        line->body = realloc(line->body, line->room);
    }
    memcpy(line->body + line->held, data, size);
    line->held += size;
    return look(line);
}

static void finish(struct line *line, size_t used) {
    size_t from = line->held > tail ? line->held - tail : 0;
    if (line->seen != want_chunks || line->read != line->held) return wrong(line, CUT);
    if (!memmem(line->body + from, line->held - from, marker, strlen(marker))) return wrong(line, MARKER);
    if (used != line->raw_held) return wrong(line, SURPLUS);
    requests++;
    note(&latency, now - line->began);
    note(&first_chunk, (line->first ? line->first : now) - line->began);
    line->raw_held = 0;
    ended(line);
}

static char *field(char *head, const char *name) {
    char *found = strcasestr(head, name);
    return found ? found + strlen(name) + strspn(found + strlen(name), " ") : NULL;
}

static int read_head(struct line *line, char *head, char *end) {
    *end = 0;
    char *length = field(head, "\r\ncontent-length:"), *coding = field(head, "\r\ntransfer-encoding:");
    char *connection = field(head, "\r\nconnection:");
    int status = 0;
    if (sscanf(head, "HTTP/1.%*d %d", &status) != 1 || status != 200) {
        *end = '\r';
        return -1;
    }
    line->chunked = coding && !strncasecmp(coding, "chunked", 7);
    line->closes = connection && !strncasecmp(connection, "close", 5);
    line->until_end = !length && !line->chunked;
    line->left = line->chunked ? 0 : line->until_end ? SIZE_MAX : strtoul(length, NULL, 10);
    line->at = line->chunked ? SIZE : DATA;
    return 0;
}

/* Reads what came as HTTP, as far as it goes. */
static void proceed(struct line *line) {
    size_t at = 0;
    while (line->asked) {
        char *from = line->raw + at, *end;
        size_t have = line->raw_held - at;
        if (line->at == HEAD) {
            if (!(end = memmem(from, have, "\r\n\r\n", 4))) break;
            if (read_head(line, from, end)) return wrong(line, STATUS);
            at += (size_t)(end + 4 - from);
            if (!line->chunked && !line->left) return finish(line, at);
        } else if (line->at == SIZE) {
            if (!(end = memmem(from, have, "\r\n", 2))) break;
            line->left = strtoul(from, NULL, 16);
            at += (size_t)(end + 2 - from);
            line->at = line->left ? DATA : TRAILER;
        } else if (line->at == DATA) {
            size_t size = have < line->left ? have : line->left;
            if (!size) break;
            if (feed(line, from, size)) return wrong(line, ORDER);
            at += size;
            if (!line->until_end) line->left -= size;
            if (line->left) continue;
            if (!line->chunked) return finish(line, at);
            line->at = AFTER;
        } else {
            if (have < 2) break;
            if (line->at == TRAILER) {
                if (!(end = memmem(from, have, "\r\n", 2))) break;
                at += (size_t)(end + 2 - from);
                if (end == from) return finish(line, at);
            } else {
                if (memcmp(from, "\r\n", 2)) return wrong(line, CUT);
                at += 2;
                line->at = SIZE;
            }
        }
    }
    line->raw_held -= at;
    memmove(line->raw, line->raw + at, line->raw_held);
}

static void take(struct line *line) {
    if (!line->open) return; /* closed meanwhile */
    if (line->raw_room - line->raw_held < 4096) {
        line->raw_room = line->raw_room ? 4 * line->raw_room : 8192;
        line->raw = realloc(line->raw, line->raw_room);
    }
    ssize_t got = recv(line->fd, line->raw + line->raw_held, line->raw_room - line->raw_held, 0);
    now = now_ns();
    if (got < 0 && errno == EAGAIN) return;
    if (got > 0 && line->asked) {
        line->raw_held += (size_t)got;
        return proceed(line);
    }
    if (!line->asked) {
        if (got > 0) bad[SURPLUS]++;
        return hang_up(line);
    }
    hang_up(line);
    if (line->at == DATA && line->until_end) return finish(line, line->raw_held);
    wrong(line, CUT);
}

static int ascending(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static void print(const char *name, struct figures *figures) {
    qsort(figures->of, figures->count, sizeof *figures->of, ascending);
    size_t last = figures->count ? figures->count - 1 : 0;
    static uint32_t none[1];
    uint32_t *of = figures->count ? figures->of : none;
    printf(", \"%s_p50\": %u, \"%s_p99\": %u, \"%s_max\": %u", name, of[last / 2], name, of[last * 99 / 100], name, of[last]);
}

static void report(void) {
    struct rusage used;
    uint64_t sum = 0;
    getrusage(RUSAGE_SELF, &used);
    printf("{\"requests\": %lu, \"chunks\": %lu, \"reconnects\": %lu, \"elapsed\": %.6f, \"cpu\": %.6f", requests, chunks,
           reconnects, (double)(now_ns() - started) / 1e9,
           (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) + (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec) / 1e6);
    for (int n = 0; n < WRONGS; n++) sum += bad[n];
    printf(", \"bad\": %lu, \"wrong\": {", sum);
    for (int n = 0; n < WRONGS; n++) printf("%s\"%s\": %lu", n ? ", " : "", names[n], bad[n]);
    printf("}, \"first_wrong\": \"%s\"", first_wrong);
    print("latency", &latency);
    print("first", &first_chunk);
    print("delay", &delay);
    puts("}");
}

int main(int count, char **words) {
    if (count != 12) return fprintf(stderr, "usage: load PORT CONNECTIONS REQUEST-FILE CHUNKS BYTES MARKER TAIL SECONDS REQUESTS RAMP TIMEOUT\n"), 2;
    int connections = atoi(words[2]);
    FILE *file = fopen(words[3], "rb");
    if (!file) die(words[3]);
    request = malloc(1 << 22);
    request_size = fread(request, 1, 1 << 22, file);
    want_chunks = (unsigned)atoi(words[4]);
    want_bytes = (unsigned)atoi(words[5]);
    if (want_bytes < TOKEN || want_bytes > MOST_BYTES) die("BYTES");
    marker = words[6];
    tail = strtoul(words[7], NULL, 10);
    most = strtoul(words[9], NULL, 10);
    uint64_t ramp = strtoul(words[10], NULL, 10) * 1000000;
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    to.sin_port = htons((uint16_t)atoi(words[1]));
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    poller = epoll_create1(0);
    struct line *lines = calloc((size_t)connections, sizeof *lines);
    for (int n = 0; n < connections; n++) lines[n].number = (unsigned)n;
    started = now = now_ns();
    uint64_t late = started + (uint64_t)(atof(words[11]) * 1e9);
    ends = most ? late : started + (uint64_t)(atof(words[8]) * 1e9);
    struct epoll_event events[512];
    int on = 0;
    while ((busy || (on < connections && now < ends && (!most || begun < most))) && now < late) {
        for (; on < connections && now >= started + ramp * (uint64_t)on / (uint64_t)connections; on++)
            if (!most || begun < most) ask(&lines[on]);
        int found = epoll_wait(poller, events, 512, on < connections ? 1 : 100);
        for (int n = 0; n < found; n++) take(events[n].data.ptr);
        now = now_ns();
    }
    for (int n = 0; n < connections; n++)
        if (lines[n].asked) bad[LATE]++;
    report();
    return 0;
}
