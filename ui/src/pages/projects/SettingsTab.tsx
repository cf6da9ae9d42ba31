import { Button, Card, Fieldset, Group, Stack, Text, Textarea, TextInput, Title } from "@mantine/core"
import { useDisclosure } from "@mantine/hooks"
import { IconPlayerPause, IconPlayerPlay, IconTrash } from "@tabler/icons-react"
import { type FormEvent } from "react"
import { useTranslation } from "react-i18next"
import { useNavigate } from "react-router"

import { api } from "../../api/client"
import { useMay } from "../../app/session"
import { Confirm } from "../../parts/Confirm"
import { Gate } from "../../parts/Gate"
import { done } from "../../parts/told"
import { SaveRow } from "./SaveRow"
import { pathOf, type Project, useChanged } from "./shapes"
import { useSave } from "./useSave"

/** Name, pause, and the end of a project. */
export function SettingsTab({ project }: { project: Project }) {
  const { t } = useTranslation("projects")
  const go = useNavigate()
  const changed = useChanged()
  const may = useMay("editor")
  const locked = project.owner === "file"
  const [deleting, remove] = useDisclosure()
  const form = useSave(project, (name) => void go(pathOf(name, "settings"), { replace: true }))
  const pause = useSave(project)
  const [pausing, asking] = useDisclosure()

  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault()
    const fields = new FormData(event.currentTarget)
    form.save({
      name: String(fields.get("name")).trim(),
      description: String(fields.get("description")).trim(),
    })
  }

  return (
    <Stack gap="lg" maw={640}>
      <form onSubmit={submit}>
        <Fieldset variant="unstyled" p={0} m={0} disabled={locked || !may} aria-label={t("tabs.settings")}>
          <Stack gap="sm">
            <TextInput
              name="name"
              label={t("fields.name")}
              description={t("settings.nameAbout")}
              defaultValue={project.name}
              required
              maxLength={100}
            />
            <Textarea
              name="description"
              label={t("fields.description")}
              defaultValue={project.description}
              maxLength={2000}
              autosize
              minRows={2}
            />
            <SaveRow error={form.error} busy={form.isPending} locked={locked} />
          </Stack>
        </Fieldset>
      </form>
      <Card>
        <Group justify="space-between" wrap="nowrap">
          <div>
            <Title order={2} size="h6">
              {t(project.is_active ? "settings.pause" : "settings.resume")}
            </Title>
            <Text size="sm" c="dimmed">
              {t(project.is_active ? "settings.pauseAbout" : "settings.resumeAbout")}
            </Text>
          </div>
          <Gate locked={locked}>
            {(disabled) => (
              <Button
                variant="default"
                flex="none"
                disabled={disabled}
                loading={pause.isPending}
                leftSection={project.is_active ? <IconPlayerPause size={15} /> : <IconPlayerPlay size={15} />}
                onClick={() => (project.is_active ? asking.open() : pause.save({ is_active: true }))}
              >
                {t(project.is_active ? "settings.pauseAction" : "settings.resumeAction")}
              </Button>
            )}
          </Gate>
        </Group>
      </Card>
      <Card>
        <Group justify="space-between" wrap="nowrap">
          <div>
            <Title order={2} size="h6">
              {t("settings.delete")}
            </Title>
            <Text size="sm" c="dimmed">
              {t("settings.deleteAbout")}
            </Text>
          </div>
          <Gate locked={locked}>
            {(disabled) => (
              <Button
                color="red"
                variant="light"
                flex="none"
                disabled={disabled}
                leftSection={<IconTrash size={15} />}
                onClick={remove.open}
              >
                {t("delete", { ns: "shell" })}…
              </Button>
            )}
          </Gate>
        </Group>
      </Card>
      <Confirm
        opened={pausing}
        onClose={asking.close}
        title={t("settings.pauseTitle", { name: project.name })}
        text={t("settings.pauseAbout")}
        action={t("settings.pauseAction")}
        onAction={async () => {
          await api.PATCH("/admin/api/projects/{project}", {
            params: { path: { project: project.id } },
            body: { is_active: false },
          })
          await changed()
        }}
      />
      <Confirm
        opened={deleting}
        onClose={remove.close}
        title={t("settings.deleteTitle", { name: project.name })}
        text={t("settings.deleteAbout")}
        typed={project.name}
        action={t("delete", { ns: "shell" })}
        onAction={async () => {
          await api.DELETE("/admin/api/projects/{project}", { params: { path: { project: project.id } } })
          void go("/projects", { replace: true })
          await changed()
          done(t("settings.deleted", { name: project.name }))
        }}
      />
    </Stack>
  )
}
