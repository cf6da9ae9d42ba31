import { Anchor, Button, Group, Text } from "@mantine/core"
import { useDisclosure } from "@mantine/hooks"
import { IconFolders, IconPlus } from "@tabler/icons-react"
import { useMemo } from "react"
import { useTranslation } from "react-i18next"
import { Link, useNavigate } from "react-router"

import { use } from "../../api/client"
import { type ColumnOf, DataTable } from "../../parts/DataTable"
import { Empty } from "../../parts/Empty"
import { compact, number } from "../../parts/format"
import { Gate } from "../../parts/Gate"
import { PageHead } from "../../parts/PageHead"
import { Problem } from "../../parts/Problem"
import { Search } from "../../parts/Search"
import { useUrl } from "../../parts/url"
import { StateBadges, TrustBadges } from "./badges"
import { CreateProject } from "./CreateProject"
import { Tightest } from "./limits"
import { pathOf, type Project, share, useProjects } from "./shapes"

/** Every project with its traffic of a day and the limit that is nearest to its end. */
export function ProjectList() {
  const { t } = useTranslation("projects")
  const go = useNavigate()
  const [url, setUrl] = useUrl({ q: "" })
  const [creating, create] = useDisclosure()
  const projects = useProjects()
  const day = use.useQuery("get", "/admin/api/stats", { params: { query: { by: "project" } } })
  const traffic = useMemo(() => new Map(day.data?.data.map((row) => [row.project_id, row])), [day.data])
  const sought = url.q.toLowerCase()
  const rows = projects.data?.data.filter(({ name, description }) =>
    `${name} ${description}`.toLowerCase().includes(sought),
  )

  const columns: ColumnOf<Project>[] = [
    {
      id: "name",
      title: t("columns.name"),
      sort: ({ name }) => name,
      cell: (project) => (
        <>
          <Group gap={6} wrap="nowrap">
            <Anchor component={Link} to={pathOf(project.name)} fw={500} size="sm">
              {project.name}
            </Anchor>
            <StateBadges active={project.is_active} owner={project.owner} />
          </Group>
          {project.description && (
            <Text size="xs" c="dimmed" lineClamp={1} maw={380}>
              {project.description}
            </Text>
          )}
        </>
      ),
    },
    {
      id: "keys",
      title: t("columns.keys"),
      right: true,
      sort: ({ active_keys }) => active_keys,
      cell: ({ name, active_keys }) => (
        <Anchor component={Link} to={pathOf(name, "keys")} size="sm">
          {number(active_keys)}
        </Anchor>
      ),
    },
    {
      id: "requests",
      title: t("columns.requests"),
      right: true,
      sort: ({ id }) => traffic.get(id)?.requests ?? (day.data ? 0 : null),
      cell: ({ id, name }) => (
        <Anchor component={Link} to={`/requests?project=${encodeURIComponent(name)}`} size="sm">
          {compact(traffic.get(id)?.requests ?? (day.data ? 0 : null))}
        </Anchor>
      ),
    },
    {
      id: "limits",
      title: t("columns.limits"),
      sort: ({ limits }) => (limits.length ? Math.max(...limits.map(share)) : null),
      cell: ({ limits }) => <Tightest figures={limits} />,
    },
    { id: "trust", title: t("columns.trust"), cell: ({ trust }) => <TrustBadges trust={trust} /> },
  ]

  return (
    <>
      <PageHead title={t("title")} about={t("about")}>
        <Search label={t("search")} size="xs" value={url.q} onChange={(q) => setUrl({ q })} />
        <Gate>
          {(disabled) => (
            <Button leftSection={<IconPlus size={15} />} onClick={create.open} disabled={disabled}>
              {t("new")}
            </Button>
          )}
        </Gate>
      </PageHead>
      {projects.error ? (
        <Problem error={projects.error} again={() => void projects.refetch()} />
      ) : (
        <DataTable
          label={t("title")}
          columns={columns}
          rows={rows}
          keyOf={({ id }) => id}
          onRow={({ name }) => void go(pathOf(name))}
          sortedBy="name"
          empty={
            <Empty icon={IconFolders} title={t(sought ? "nothing" : "empty.title")} text={t("empty.text")} />
          }
        />
      )}
      {creating && <CreateProject onClose={create.close} />}
    </>
  )
}
