import { Anchor, Card, Group, Skeleton, Text, UnstyledButton, VisuallyHidden } from "@mantine/core"
import { IconAlertTriangle, IconCircle, IconCircleFilled, IconMinus, IconMoon } from "@tabler/icons-react"
import { useMemo } from "react"
import { useTranslation } from "react-i18next"
import { Link } from "react-router"

import { use } from "../../api/client"
import { number } from "../../parts/format"
import { Problem } from "../../parts/Problem"
import { Search } from "../../parts/Search"
import css from "./fleet.module.css"
import { columnsOf, HELD, type Held, heldBy, type Line, linesOf, standings } from "./matrix"
import type { Server } from "./shapes"

const SERVERS = 40 // columns
const MODELS = 80 // rows
const MARKS: Record<Held, typeof IconCircle> = {
  warm: IconCircleFilled,
  listed: IconCircle,
  resting: IconMoon,
  quarantined: IconAlertTriangle,
  disabled: IconMinus,
}

interface Props {
  /** Those that the filters leave. */
  servers: Server[] | undefined
  words: string
  search: (words: string) => void
  open: (id: string) => void
}

/**
 * Which server holds which model; of models that are looked for only their holders. Each standing has a mark of its
 * own, and its word for those who do not see it.
 */
export function Matrix({ servers, words, search, open }: Props) {
  const { t } = useTranslation("fleet")
  const { data, error, refetch } = use.useQuery("get", "/admin/api/models")
  const lines = useMemo(() => servers && data && linesOf(servers, data.data, words), [servers, data, words])
  const holders = useMemo(
    () => servers && columnsOf(servers).map((server) => ({ server, standing: standings(server) })),
    [servers],
  )
  const found = useMemo(
    () =>
      words.trim() && lines
        ? holders?.filter(({ standing }) => lines.some((line) => heldBy(standing, line)))
        : holders,
    [holders, lines, words],
  )
  if (error) return <Problem error={error} again={() => void refetch()} />
  if (!found || !lines) return <Skeleton h={300} />
  const columns = found.slice(0, SERVERS)
  const hidden = { servers: found.length - SERVERS, models: lines.length - MODELS }
  return (
    <>
      <Group justify="space-between" mb="xs" gap="xs">
        <Search
          w={{ base: "100%", xs: 260 }}
          label={t("matrix.search")}
          value={words}
          onChange={(text) => search(text)}
        />
        <Group gap="md" component="ul" p={0} m={0} className={css.legend} aria-label={t("matrix.legend")}>
          {HELD.map((held) => (
            <li key={held}>
              <Mark held={held} /> {t(`matrix.held.${held}`)}
            </li>
          ))}
        </Group>
      </Group>
      <Card padding={0} className={css.matrix}>
        <table aria-label={t("matrix.title")}>
          <thead>
            <tr>
              <th scope="col">{t("matrix.model")}</th>
              {columns.map(({ server: { id, name } }) => (
                <th key={id} scope="col">
                  <UnstyledButton onClick={() => open(id)} title={name}>
                    {name}
                  </UnstyledButton>
                </th>
              ))}
            </tr>
          </thead>
          <tbody>
            {lines.slice(0, MODELS).map((line) => (
              <tr key={line.key}>
                <th scope="row">
                  <Name line={line} />
                </th>
                {columns.map(({ server, standing }) => {
                  const held = heldBy(standing, line)
                  const said = t(`matrix.held.${held ?? "absent"}`)
                  return (
                    <td key={server.id} title={held ? `${line.name}, ${server.name}: ${said}` : undefined}>
                      {held && <Mark held={held} />}
                      <VisuallyHidden>{said}</VisuallyHidden>
                    </td>
                  )
                })}
              </tr>
            ))}
            {!lines.length && (
              <tr>
                <td colSpan={columns.length + 1}>{t("matrix.none")}</td>
              </tr>
            )}
          </tbody>
        </table>
      </Card>
      <Text size="xs" c="dimmed" mt="xs">
        {[
          hidden.servers > 0 && t("matrix.moreServers", { count: hidden.servers, n: number(hidden.servers) }),
          hidden.models > 0 && t("matrix.moreModels", { count: hidden.models, n: number(hidden.models) }),
        ]
          .filter(Boolean)
          .join(" ")}
      </Text>
    </>
  )
}

function Mark({ held }: { held: Held }) {
  const Icon = MARKS[held]
  return <Icon size={14} className={css.mark} data-held={held} aria-hidden />
}

function Name({ line }: { line: Line }) {
  const query = new URLSearchParams({
    ...(line.logical ? {} : { tab: "catalogue" }),
    name: line.name,
    ...(line.project ? { as: line.project } : {}),
  })
  return (
    <>
      <Anchor component={Link} to={`/models?${query}`} size="sm" ff="monospace" title={line.name} truncate>
        {line.name}
      </Anchor>
      {line.logical && (
        <Text size="xs" c="dimmed" truncate title={line.means.join(" → ")}>
          {[line.project, line.means.join(" → ")].filter(Boolean).join(": ")}
        </Text>
      )}
    </>
  )
}
