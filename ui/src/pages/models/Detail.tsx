import { Anchor, Badge, Button, Divider, Drawer, Group, Select, Stack, Text, Tooltip } from "@mantine/core"
import { IconMessage, IconPencil, IconTag } from "@tabler/icons-react"
import { useTranslation } from "react-i18next"
import { Link } from "react-router"

import { use } from "../../api/client"
import { useMay } from "../../app/session"
import { Backend } from "./Backend"
import { Explain } from "./Explain"
import { Physical } from "./Physical"
import { Test } from "./Test"

interface Props {
  /** A logical or a physical name; empty: closed. */
  name: string
  /** The project by whose names it is meant; empty: none's. */
  as: string
  look: (name: string, as?: string) => void
  edit: (what: string) => void
  onClose: () => void
}

/** What a name is, who would serve it now, and whether it answers. */
export function Detail({ name, onClose, ...rest }: Props) {
  const { t } = useTranslation("models")
  return (
    <Drawer
      closeButtonProps={{ "aria-label": t("close", { ns: "shell" }) }}
      opened={name !== ""}
      onClose={onClose}
      size="min(860px, 100vw)"
      title={
        <Text fw={600} ff="monospace" style={{ overflowWrap: "anywhere" }}>
          {name}
        </Text>
      }
    >
      {name && <Body key={name} name={name} {...rest} />}
    </Drawer>
  )
}

function Body({ name, as, look, edit }: Omit<Props, "onClose">) {
  const { t } = useTranslation("models")
  const may = useMay("editor")
  const names = use.useQuery("get", "/admin/api/models")
  const projects = use.useQuery("get", "/admin/api/projects")
  const mine = names.data?.data.filter((each) => each.name === name) ?? []
  const meant = mine.find(({ project }) => project === (as || null)) ?? mine.find((each) => !each.project)
  const physical = names.data?.physical.some((each) => each.name === name)
  const file = meant?.owner === "file"

  return (
    <Stack gap="lg">
      <Group gap="xs">
        {meant && (
          <Tooltip label={t("owned.file", { ns: "shell" })} disabled={!file} multiline maw={300}>
            <Button
              variant="default"
              leftSection={<IconPencil size={15} />}
              data-disabled={!may || file || undefined}
              aria-disabled={!may || file}
              onClick={() => may && !file && edit(meant.id)}
            >
              {t("edit", { ns: "shell" })}
            </Button>
          </Tooltip>
        )}
        {physical && (
          <Button
            variant="default"
            leftSection={<IconTag size={15} />}
            disabled={!may}
            onClick={() => edit(`to:${name}`)}
          >
            {t("mapTo")}
          </Button>
        )}
        <Button
          variant="default"
          component={Link}
          to={`/playground?${new URLSearchParams({ model: name, ...(as && { project: as }) })}`}
          leftSection={<IconMessage size={15} />}
        >
          {t("play")}
        </Button>
      </Group>

      {meant && (
        <section aria-label={t("means")}>
          <Group gap="xs" mb={6}>
            <Text fw={600} size="sm">
              {t("means")}
            </Text>
            <Badge color="gray" c="inherit">
              {meant.project ?? t("shared")}
            </Badge>
          </Group>
          {meant.description && (
            <Text size="sm" c="dimmed" mb={6}>
              {meant.description}
            </Text>
          )}
          <Stack gap={4}>
            {meant.backend.map((each, at) => (
              <Group key={each} gap="xs">
                <Backend name={each} place={at + 1} healthy={meant.healthy_by_backend[at] ?? 0} />
                <Anchor component="button" size="xs" onClick={() => look(each)}>
                  {t("look")}
                </Anchor>
              </Group>
            ))}
          </Stack>
          {Object.keys(meant.params).length > 0 && (
            <Text size="xs" c="dimmed" mt={6} ff="monospace">
              {Object.entries(meant.params)
                .map(([param, value]) => `${param}=${JSON.stringify(value)}`)
                .join("  ")}
            </Text>
          )}
        </section>
      )}
      {physical && <Physical name={name} look={look} />}
      <Divider />
      <Select
        label={t("as")}
        description={t("asAbout")}
        maw={360}
        data={[
          { value: "", label: t("asNobody") },
          ...(projects.data?.data.map((each) => ({ value: each.name, label: each.name })) ?? []),
        ]}
        allowDeselect={false}
        value={as}
        onChange={(value) => look(name, value ?? "")}
      />
      <Explain name={name} as={as} />
      <Divider />
      <Test name={name} as={as} projects={projects.data?.data ?? []} />
    </Stack>
  )
}
