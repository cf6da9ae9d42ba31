/* A model server that costs next to nothing: Ollama's and OpenAI's API on one thread, for measurements.

       upstream PORT[,PORT…] MODEL…

   A model's name says how it answers: `nd-100-60-20` writes 100 chunks of 60 bytes of text, one every 20 ms. With 0 ms
   all are written at once; with `0w` each by itself, one after the other. Names that begin with `nd` are Ollama's
   (`/api/chat`), others OpenAI's (`/v1/chat/completions`). Asked for one answer instead of a stream it sends the same
   text. It ends with its standard input. */
#define _GNU_SOURCE
#include "common.h"
#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/queue.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST_FDS 65536
#define MOST_PACES 32
#define MOST_REQUEST (1 << 22)
#define FRAME (MOST_BYTES + 1024)
#define CREATED_AT "2026-11-23T07:17:41.041000000Z"

struct line {
    int fd;
    char *in;
    size_t held, room;
    char *out;
    size_t unsent, out_room;
    /* the answer under way */
    int busy, ollama, usage, each;
    unsigned chunks, bytes, next;
    uint64_t due;
    struct pace *pace;
    char model[128];
    TAILQ_ENTRY(line) waiting;
};

/* Streams of one interval: their next chunks are due in the order in which they wait. */
struct pace {
    uint64_t interval;
    TAILQ_HEAD(queue, line) lines;
};

static struct line *lines[MOST_FDS];
static int listening[MOST_FDS];
static struct pace paces[MOST_PACES];
static int paced, poller;
static char **models;
static int model_count;

static void hang_up(struct line *line) {
    if (line->pace) TAILQ_REMOVE(&line->pace->lines, line, waiting);
    lines[line->fd] = NULL;
    close(line->fd);
    free(line->in);
    free(line->out);
    free(line);
}

static void watch(struct line *line, int add) {
    struct epoll_event event = {.events = EPOLLIN | (line->unsent ? EPOLLOUT : 0), .data.fd = line->fd};
    epoll_ctl(poller, add ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, line->fd, &event);
}

/* Sends, and keeps what the socket does not take. -1: the other side has gone. */
static int put(struct line *line, const char *data, size_t size) {
    ssize_t sent = 0;
    if (!line->unsent) {
        sent = send(line->fd, data, size, MSG_NOSIGNAL);
        if (sent < 0 && errno != EAGAIN) return -1;
        if (sent < 0) sent = 0;
        if ((size_t)sent == size) return 0;
    }
    size -= (size_t)sent;
    if (line->unsent + size > line->out_room) {
        line->out_room = 2 * (line->unsent + size);
        line->out = realloc(line->out, line->out_room);
    }
    memcpy(line->out + line->unsent, data + sent, size);
    if (!line->unsent) {
        line->unsent = size;
        watch(line, 0);
    } else
        line->unsent += size;
    return 0;
}

static int flush(struct line *line) {
    ssize_t sent = send(line->fd, line->out, line->unsent, MSG_NOSIGNAL);
    if (sent < 0) return errno == EAGAIN ? 0 : -1;
    line->unsent -= (size_t)sent;
    memmove(line->out, line->out + sent, line->unsent);
    if (!line->unsent) watch(line, 0);
    return 0;
}

static int whole(struct line *line, int status, const char *body, size_t size) {
    char head[256];
    const char *reason = status == 200 ? "OK" : status == 404 ? "Not Found" : "Bad Request";
    int length = snprintf(head, sizeof head, "HTTP/1.1 %d %s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n",
                          status, reason, size);
    char *both = malloc((size_t)length + size);
    memcpy(both, head, (size_t)length);
    memcpy(both + length, body, size);
    int gone = put(line, both, (size_t)length + size);
    free(both);
    return gone;
}

/* One frame in a chunk of HTTP. */
static size_t wrapped(char *to, const char *frame, size_t size) {
    int length = sprintf(to, "%zx\r\n", size);
    memcpy(to + length, frame, size);
    memcpy(to + length + size, "\r\n", 2);
    return (size_t)length + size + 2;
}

static size_t frame(const struct line *line, char *to, unsigned seq, uint64_t now) {
    char text[MOST_BYTES + 1];
    put_chunk(text, seq, now, line->bytes);
    text[line->bytes] = 0;
    if (line->ollama)
        return (size_t)sprintf(to,
                               "{\"model\":\"%s\",\"created_at\":\"" CREATED_AT
                               "\",\"message\":{\"role\":\"assistant\",\"content\":\"%s\"},\"done\":false}\n",
                               line->model, text);
    return (size_t)sprintf(to,
                           "data: {\"id\":\"chatcmpl-630\",\"object\":\"chat.completion.chunk\",\"created\":1795418261,"
                           "\"model\":\"%s\",\"system_fingerprint\":\"fp_bench\",\"choices\":[{\"index\":0,\"delta\":{%s"
                           "\"content\":\"%s\"},\"finish_reason\":null}]}\n\n",
                           line->model, seq == 1 ? "\"role\":\"assistant\"," : "", text);
}

static size_t last_frames(const struct line *line, char *to) {
    if (line->ollama)
        return (size_t)sprintf(to,
                               "{\"model\":\"%s\",\"created_at\":\"" CREATED_AT
                               "\",\"message\":{\"role\":\"assistant\",\"content\":\"\"},\"done\":true,\"done_reason\":"
                               "\"stop\",\"total_duration\":5000000,\"load_duration\":1000000,\"prompt_eval_count\":26,"
                               "\"prompt_eval_duration\":4000000,\"eval_count\":%u,\"eval_duration\":%u000000}\n",
                               line->model, line->chunks, line->chunks);
    const char *base = "data: {\"id\":\"chatcmpl-630\",\"object\":\"chat.completion.chunk\",\"created\":1795418261,"
                       "\"model\":\"%s\",\"system_fingerprint\":\"fp_bench\",\"choices\":[";
    size_t size = (size_t)sprintf(to, base, line->model);
    size += (size_t)sprintf(to + size, "{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n");
    if (line->usage) {
        size += (size_t)sprintf(to + size, base, line->model);
        size += (size_t)sprintf(to + size, "],\"usage\":{\"prompt_tokens\":26,\"completion_tokens\":%u,\"total_tokens\":%u}}\n\n",
                                line->chunks, line->chunks + 26);
    }
    return size + (size_t)sprintf(to + size, "data: [DONE]\n\n");
}

/* Writes what is due: one chunk of a paced stream, all of another. Sets `busy` to 0 at the end. */
static int go_on(struct line *line, uint64_t now) {
    static char buffer[1 << 20];
    char text[FRAME];
    size_t size = 0;
    if (line->next == 1)
        size = (size_t)sprintf(buffer, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\nTransfer-Encoding: chunked\r\n\r\n",
                               line->ollama ? "application/x-ndjson" : "text/event-stream");
    do {
        size += wrapped(buffer + size, text, frame(line, text, line->next++, now));
        if (line->next > line->chunks) {
            size += wrapped(buffer + size, text, last_frames(line, text));
            size += (size_t)sprintf(buffer + size, "0\r\n\r\n");
            line->busy = 0;
        }
        if (line->each || !line->busy || size > sizeof buffer - 2 * FRAME) {
            if (put(line, buffer, size)) return -1;
            size = 0;
        }
    } while (line->busy && !line->due);
    return size ? put(line, buffer, size) : 0;
}

static int whole_answer(struct line *line, uint64_t now) {
    static char text[1 << 20], body[(1 << 20) + 1024];
    size_t size = 0;
    for (unsigned seq = 1; seq <= line->chunks && size < sizeof text - MOST_BYTES; seq++, size += line->bytes)
        put_chunk(text + size, seq, now, line->bytes);
    text[size] = 0;
    line->busy = 0;
    int length = line->ollama
        ? sprintf(body, "{\"model\":\"%s\",\"created_at\":\"" CREATED_AT "\",\"message\":{\"role\":\"assistant\",\"content\":\"%s\"},"
                  "\"done\":true,\"done_reason\":\"stop\",\"total_duration\":5000000,\"load_duration\":1000000,"
                  "\"prompt_eval_count\":26,\"prompt_eval_duration\":4000000,\"eval_count\":%u,\"eval_duration\":4000000}",
                  line->model, text, line->chunks)
        : sprintf(body, "{\"id\":\"chatcmpl-630\",\"object\":\"chat.completion\",\"created\":1795418261,\"model\":\"%s\","
                  "\"system_fingerprint\":\"fp_bench\",\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":"
                  "\"%s\"},\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":26,\"completion_tokens\":%u,"
                  "\"total_tokens\":%u}}",
                  line->model, text, line->chunks, line->chunks + 26);
    return whole(line, 200, body, (size_t)length);
}

static void wait_for(struct line *line, uint64_t interval) {
    int n = 0;
    while (n < paced && paces[n].interval != interval) n++;
    if (n == MOST_PACES) die("too many intervals");
    if (n == paced) {
        paces[paced++].interval = interval;
        TAILQ_INIT(&paces[n].lines);
    }
    line->pace = &paces[n];
    TAILQ_INSERT_TAIL(&paces[n].lines, line, waiting);
}

static int refuse(struct line *line, const char *why) {
    char body[256];
    return whole(line, 404, body, (size_t)snprintf(body, sizeof body, "{\"error\":\"%s\"}", why));
}

static int chat(struct line *line, const char *body, int ollama) {
    const char *name = strstr(body, "\"model\""), *stream = strstr(body, "\"stream\"");
    int interval = -1, at = 0;
    if (!name || sscanf(name + 7, " : \"%127[^\"]\"", line->model) != 1) return refuse(line, "no model");
    if (sscanf(line->model, "%*[a-z]-%u-%u-%d%n", &line->chunks, &line->bytes, &interval, &at) != 3 || interval < 0 ||
        line->bytes < TOKEN || line->bytes > MOST_BYTES || !line->chunks)
        return refuse(line, "model not found");
    line->each = line->model[at] == 'w';
    line->ollama = ollama;
    line->usage = strstr(body, "\"include_usage\"") != NULL;
    line->next = 1;
    line->busy = 1;
    line->due = 0;
    if (stream) stream += 8 + strspn(stream + 8, " :");
    uint64_t now = now_ns();
    if (stream ? strncmp(stream, "true", 4) != 0 : !ollama) return whole_answer(line, now);
    if (interval) {
        line->each = 1;
        line->due = now + (uint64_t)interval * 1000000;
    }
    if (go_on(line, now)) return -1;
    if (line->busy) wait_for(line, (uint64_t)interval * 1000000);
    return 0;
}

static int list(struct line *line, int ollama) {
    char body[1 << 14];
    size_t size = (size_t)sprintf(body, ollama ? "{\"models\":[" : "{\"object\":\"list\",\"data\":[");
    for (int n = 0, told = 0; n < model_count; n++) {
        if (ollama != !strncmp(models[n], "nd-", 3) || size > sizeof body - 1024) continue;
        if (told++) body[size++] = ',';
        size += (size_t)(ollama
            ? sprintf(body + size, "{\"name\":\"%s\",\"model\":\"%s\",\"modified_at\":\"" CREATED_AT "\",\"size\":2019393189,"
                      "\"digest\":\"a80c4f17acd55265feec403c7aef86be0c25983ab279d83f3bcd3abbcb5b%04x\",\"details\":{\"format\":"
                      "\"gguf\",\"family\":\"llama\",\"parameter_size\":\"3.2B\",\"quantization_level\":\"Q4_K_M\"}}",
                      models[n], models[n], n)
            : sprintf(body + size, "{\"id\":\"%s\",\"object\":\"model\",\"created\":1795418261,\"owned_by\":\"bench\"}", models[n]));
    }
    return whole(line, 200, body, size + (size_t)sprintf(body + size, "]}"));
}

static int answer(struct line *line, const char *path, const char *body) {
    static const char version[] = "{\"version\":\"0.33.0\"}";
    static const char show[] = "{\"details\":{\"family\":\"llama\"},\"model_info\":{\"general.architecture\":\"llama\","
                               "\"llama.context_length\":131072,\"llama.embedding_length\":3072},\"capabilities\":[\"completion\"]}";
    if (!strcmp(path, "/v1/chat/completions")) return chat(line, body, 0);
    if (!strcmp(path, "/api/chat")) return chat(line, body, 1);
    if (!strcmp(path, "/api/version")) return whole(line, 200, version, sizeof version - 1);
    if (!strcmp(path, "/api/show")) return whole(line, 200, show, sizeof show - 1);
    if (!strcmp(path, "/api/tags") || !strcmp(path, "/api/ps")) return list(line, 1);
    if (!strcmp(path, "/v1/models")) return list(line, 0);
    if (!strcmp(path, "/health")) return whole(line, 200, "{}", 2);
    return refuse(line, "no such path");
}

/* Answers the requests that have come in whole, one at a time. */
static int requests(struct line *line) {
    char path[256];
    while (!line->busy && line->held) {
        line->in[line->held] = 0;
        char *end = strstr(line->in, "\r\n\r\n");
        if (!end) return line->held > 65536 ? -1 : 0;
        char *length = strcasestr(line->in, "\r\ncontent-length:");
        size_t size = length && length < end ? strtoul(length + 17, NULL, 10) : 0, head = (size_t)(end + 4 - line->in);
        if (size > MOST_REQUEST) return -1;
        if (line->held < head + size) return 0;
        if (sscanf(line->in, "%*s %255[^ ?]", path) != 1) return -1;
        char after = line->in[head + size];
        line->in[head + size] = 0;
        if (answer(line, path, line->in + head)) return -1;
        line->in[head + size] = after;
        line->held -= head + size;
        memmove(line->in, line->in + head + size, line->held);
    }
    return 0;
}

static int take(struct line *line) {
    if (line->room - line->held < 2048) {
        line->room = line->room ? 2 * line->room : 4096;
        line->in = realloc(line->in, line->room);
    }
    ssize_t got = recv(line->fd, line->in + line->held, line->room - line->held - 1, 0);
    if (got < 0 && errno == EAGAIN) return 0;
    if (got <= 0) return -1;
    line->held += (size_t)got;
    return requests(line);
}

static void welcome(int door) {
    int one = 1, fd;
    while ((fd = accept4(door, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (fd >= MOST_FDS) {
            close(fd);
            continue;
        }
        lines[fd] = calloc(1, sizeof **lines);
        lines[fd]->fd = fd;
        watch(lines[fd], 1);
    }
}

static void listen_at(int port) {
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) || listen(fd, 8192)) die("listen");
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
    epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
    listening[fd] = 1;
}

/* Writes what is due. Returns the milliseconds until more is, -1 when nothing waits. */
static int pace(void) {
    uint64_t now = now_ns(), soonest = UINT64_MAX;
    for (int n = 0; n < paced; n++) {
        struct line *line;
        while ((line = TAILQ_FIRST(&paces[n].lines)) && line->due <= now) {
            TAILQ_REMOVE(&paces[n].lines, line, waiting);
            line->pace = NULL;
            line->due += paces[n].interval;
            if (go_on(line, now_ns()) || (!line->busy && requests(line))) {
                hang_up(line);
                continue;
            }
            if (line->busy && !line->pace) wait_for(line, paces[n].interval);
        }
        if (line && line->due < soonest) soonest = line->due;
    }
    now = now_ns();
    return soonest == UINT64_MAX ? -1 : soonest <= now ? 0 : (int)((soonest - now + 999999) / 1000000);
}

int main(int count, char **words) {
    struct rlimit limit;
    struct epoll_event events[512], ends = {.events = EPOLLIN, .data.fd = 0};
    if (count < 3) return fprintf(stderr, "usage: upstream PORT[,PORT…] MODEL…\n"), 2;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    poller = epoll_create1(0);
    models = words + 2;
    model_count = count - 2;
    for (char *port = strtok(words[1], ","); port; port = strtok(NULL, ",")) listen_at(atoi(port));
    epoll_ctl(poller, EPOLL_CTL_ADD, 0, &ends);
    puts("ready");
    fflush(stdout);
    for (;;) {
        int found = epoll_wait(poller, events, 512, pace());
        for (int n = 0; n < found; n++) {
            int fd = events[n].data.fd;
            struct line *line = lines[fd];
            if (fd == 0) return 0;
            if (listening[fd])
                welcome(fd);
            else if (line && (((events[n].events & EPOLLOUT) && flush(line)) || ((events[n].events & ~EPOLLOUT) && take(line))))
                hang_up(line);
        }
    }
}
