import { Alert, Anchor, Button, Group, Skeleton, Tabs } from "@mantine/core"
import { IconArrowLeft, IconFolders, IconLock } from "@tabler/icons-react"
import type { ComponentType } from "react"
import { useTranslation } from "react-i18next"
import { Link } from "react-router"

import { Empty } from "../../parts/Empty"
import { PageHead } from "../../parts/PageHead"
import { Problem } from "../../parts/Problem"
import { useUrl } from "../../parts/url"
import { Words } from "../../parts/Words"
import { StateBadges, TrustBadges } from "./badges"
import { ConnectTab } from "./ConnectTab"
import { KeysTab } from "./KeysTab"
import { LimitsTab } from "./LimitsTab"
import { ModelsTab } from "./ModelsTab"
import { PolicyTab } from "./PolicyTab"
import { SettingsTab } from "./SettingsTab"
import { type Project, useProjects } from "./shapes"

const tabs: Record<string, ComponentType<{ project: Project }>> = {
  keys: KeysTab,
  limits: LimitsTab,
  policy: PolicyTab,
  models: ModelsTab,
  connect: ConnectTab,
  settings: SettingsTab,
}

/** One project, by name. */
export function Detail({ name }: { name: string }) {
  const { t } = useTranslation("projects")
  const [url, setUrl] = useUrl({ tab: "keys" })
  const { data, error, refetch } = useProjects()
  const project = data?.data.find((each) => each.name === name || each.id === name)
  const tab = url.tab in tabs ? url.tab : "keys"

  if (error) return <Problem error={error} again={() => void refetch()} />
  if (!data) return <Skeleton h={220} aria-label={t("loading", { ns: "shell" })} />
  if (!project)
    return (
      <Empty icon={IconFolders} title={t("missing.title", { name })} text={t("missing.text")}>
        <Button component={Link} to="/projects">
          {t("all")}
        </Button>
      </Empty>
    )
  const query = encodeURIComponent(project.name)
  return (
    <>
      <Anchor component={Link} to="/projects" size="sm" c="dimmed" display="inline-block" mb={6}>
        <IconArrowLeft size={13} aria-hidden /> {t("all")}
      </Anchor>
      <PageHead title={project.name} about={project.description}>
        <Button variant="default" component={Link} to={`/requests?project=${query}`}>
          {t("seeRequests")}
        </Button>
        <Button variant="default" component={Link} to={`/playground?project=${query}`}>
          {t("tryIt")}
        </Button>
      </PageHead>
      <Group gap={6} mb="md" mt={-8}>
        <TrustBadges trust={project.trust} />
        <StateBadges active={project.is_active} owner={project.owner} />
      </Group>
      {project.owner === "file" && (
        <Alert icon={<IconLock />} color="gray" mb="md" p="xs">
          <Words>{t("owned.file", { ns: "shell" })}</Words>
        </Alert>
      )}
      <Tabs
        value={tab}
        onChange={(value) => setUrl({ tab: value ?? "keys" }, { push: true })}
        keepMounted={false}
      >
        <Tabs.List mb="md">
          {Object.keys(tabs).map((each) => (
            <Tabs.Tab key={each} value={each}>
              {t(`tabs.${each}`)}
            </Tabs.Tab>
          ))}
        </Tabs.List>
        {Object.entries(tabs).map(([each, Content]) => (
          <Tabs.Panel key={each} value={each}>
            <Content project={project} />
          </Tabs.Panel>
        ))}
      </Tabs>
    </>
  )
}
