/** One request: how it went, which servers were tried, what it cost, and what to do with it. */
import {
  ActionIcon,
  Anchor,
  Button,
  Drawer,
  Group,
  Skeleton,
  Stack,
  Text,
  Title,
  Tooltip,
} from "@mantine/core"
import { IconChevronDown, IconChevronUp, IconPlayerPlay } from "@tabler/icons-react"
import { type ReactNode, useEffect } from "react"
import { useTranslation } from "react-i18next"
import { Link } from "react-router"

import { ApiError, root, use } from "../../api/client"
import { CodeBox, Copy } from "../../parts/CodeBox"
import { absolute, cost, DASH, duration, number } from "../../parts/format"
import { Problem } from "../../parts/Problem"
import { speedOf } from "./columns"
import { curlOf } from "./curl"
import type { Detail } from "./lanes"
import { Payload, usePayload } from "./Payload"
import css from "./requests.module.css"
import { Status } from "./Status"
import { Waterfall } from "./Waterfall"

interface Props {
  /** Empty: closed. */
  id: string
  onClose: () => void
  /** To the row below (1) or above (-1); absent where there are no rows. */
  onMove?: (by: 1 | -1) => void
}

/** Milliseconds since its request began: the first bits of an id say when (RFC 9562, version 7). */
const age = (id: string) => Date.now() - parseInt(id.replace("-", "").slice(0, 12), 16)
const YOUNG = 60_000 // what ended just now is on its way to the log

export function RequestDrawer({ id, onClose, onMove }: Props) {
  const { t } = useTranslation("requests")
  const request = use.useQuery(
    "get",
    "/admin/api/requests/{request_id}",
    { params: { path: { request_id: id } } },
    {
      enabled: !!id,
      staleTime: Infinity,
      retry: (count, error) => (error as unknown) instanceof ApiError && count < 6 && age(id) < YOUNG,
      retryDelay: 800,
    },
  )
  useKeys(!!id, onMove)
  return (
    <Drawer
      opened={!!id}
      onClose={onClose}
      size={680}
      title={
        <Group gap={4} component="span">
          <span>{t("drawer.title")}</span>
          {onMove && <Move by={-1} label={t("drawer.previous")} onMove={onMove} />}
          {onMove && <Move by={1} label={t("drawer.next")} onMove={onMove} />}
        </Group>
      }
      closeButtonProps={{ "aria-label": t("close", { ns: "shell" }) }}
    >
      {request.error ? (
        <Problem error={request.error} again={() => void request.refetch()} />
      ) : request.data ? (
        <Whole key={id} request={request.data} />
      ) : (
        <Stack aria-busy aria-label={t("loading", { ns: "shell" })}>
          <Skeleton h={60} />
          <Skeleton h={140} />
          <Skeleton h={90} />
        </Stack>
      )}
    </Drawer>
  )
}

function Move({ by, label, onMove }: { by: 1 | -1; label: string; onMove: (by: 1 | -1) => void }) {
  return (
    <Tooltip label={`${label} (${by > 0 ? "j" : "k"})`}>
      <ActionIcon aria-label={label} onClick={() => onMove(by)}>
        {by > 0 ? <IconChevronDown size={17} /> : <IconChevronUp size={17} />}
      </ActionIcon>
    </Tooltip>
  )
}

/** `j`, `k` and the arrows move, unless they are needed where the focus is. */
function useKeys(opened: boolean, onMove?: (by: 1 | -1) => void) {
  useEffect(() => {
    if (!opened || !onMove) return
    function pressed(event: KeyboardEvent) {
      if (event.ctrlKey || event.metaKey || event.altKey) return
      if ((event.target as HTMLElement).closest("input,textarea,select,pre,[role=menu],[role=listbox]"))
        return
      const by = ({ j: 1, ArrowDown: 1, k: -1, ArrowUp: -1 } as const)[event.key]
      if (!by) return
      event.preventDefault()
      onMove!(by)
    }
    document.addEventListener("keydown", pressed)
    return () => document.removeEventListener("keydown", pressed)
  }, [opened, onMove])
}

function Part({ title, children }: { title: string; children: ReactNode }) {
  return (
    <section aria-label={title}>
      <Title order={3} size="sm" fw={600} mb={8}>
        {title}
      </Title>
      {children}
    </section>
  )
}

const to = (place: string, text: string) => (
  <Anchor component={Link} to={place} size="sm">
    {text}
  </Anchor>
)

function Whole({ request }: { request: Detail }) {
  const { t } = useTranslation("requests")
  const payload = usePayload(request.request_id, false) // what `Payload` has asked for, if it did
  const speed = speedOf(request)
  const facts: [string, ReactNode][] = [
    ["time", absolute(request.timestamp)],
    ["status", <Status row={request} long />],
    [
      "project",
      request.project
        ? to(`/projects/${encodeURIComponent(request.project)}`, request.project)
        : request.project_id,
    ],
    ["key", request.key ?? request.key_id ?? DASH],
    ["endpoint", <code>{request.endpoint}</code>],
    ["stream", t(request.stream ? "yes" : "no")],
    ["model", request.model ? to(`/models?name=${encodeURIComponent(request.model)}`, request.model) : DASH],
    ["backend_model", request.backend_model ?? DASH],
    [
      "server",
      request.server_id
        ? to(`/fleet?id=${encodeURIComponent(request.server_id)}`, request.server ?? request.server_id)
        : DASH,
    ],
    ["tier", request.tier ? t(`tiers.${request.tier}`) : DASH],
    ["latency", duration(request.latency_ms)],
    ["ttft", duration(request.ttft_ms)],
    ["tokens_input", mark(request, number(request.tokens_input))],
    ["tokens_output", mark(request, number(request.tokens_output))],
    ["speed", speed == null ? DASH : `${number(speed, 1)} ${t("perSecond")}`],
    ["cost", cost(request.cost)],
    ["finish_reason", request.finish_reason ?? DASH],
    ["failovers", number(request.failovers)],
    ["continuations", number(request.continuations)],
  ]
  const ids: [string, string | null][] = [
    ["request_id", request.request_id],
    ["client_request_id", request.client_request_id],
    ["correlation_id", request.correlation_id],
    ["end_user", request.end_user],
    ["project_context", request.project_context],
    ["key_id", request.key_id],
    ["server_id", request.server_id],
  ]
  const wasted = request.attempts.reduce((sum, one) => sum + one.tokens_wasted, 0)
  return (
    <Stack gap="lg">
      <Part title={t("drawer.attempts", { count: request.attempt_count })}>
        {request.failovers > 0 && request.status < 400 && (
          <Text size="sm" mb={6}>
            {t("savedAbout", { count: request.failovers })}
          </Text>
        )}
        <Waterfall request={request} />
      </Part>
      <Part title={t("drawer.summary")}>
        <dl className={css.facts}>
          {facts.map(([name, value]) => (
            <div key={name}>
              <dt>{t(`columns.${name}`)}</dt>
              <dd className="numbers">{value}</dd>
            </div>
          ))}
        </dl>
        {(request.tokens_estimated || wasted > 0) && (
          <Text size="xs" c="dimmed" mt="xs">
            {request.tokens_estimated && t("estimated")} {wasted > 0 && t("wastedAll", { count: wasted })}
          </Text>
        )}
      </Part>
      {request.notes && (
        <Part title={t("drawer.notes")}>
          <Text size="sm">{request.notes}</Text>
        </Part>
      )}
      <Part title={t("drawer.ids")}>
        <dl className={css.ids}>
          {ids.map(([name, value]) => {
            const label = t(name === "server_id" ? "drawer.server_id" : `names.${name}`)
            return (
              value && (
                <IdLine key={name} label={label} value={value} copy={t("drawer.copy", { name: label })} />
              )
            )
          })}
        </dl>
      </Part>
      <Part title={t("payload.title")}>
        <Payload id={request.request_id} />
      </Part>
      <Part title={t("drawer.again")}>
        <Stack gap="xs">
          <Button
            component={Link}
            to={`/playground?replay=${request.request_id}`}
            variant="light"
            leftSection={<IconPlayerPlay size={15} />}
            w="fit-content"
          >
            {t("drawer.replay")}
          </Button>
          <CodeBox code={curlOf(root, request, payload.data?.request)} label={t("drawer.curl")} />
        </Stack>
      </Part>
    </Stack>
  )
}

function IdLine({ label, value, copy }: { label: string; value: string; copy: string }) {
  return (
    <>
      <dt>{label}</dt>
      <dd>
        <code>{value}</code>
      </dd>
      <dd>
        <Copy value={value} label={copy} />
      </dd>
    </>
  )
}

const mark = ({ tokens_estimated }: Detail, text: string) => (tokens_estimated ? `≈ ${text}` : text)
