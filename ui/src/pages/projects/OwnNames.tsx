import {
  ActionIcon,
  Anchor,
  Badge,
  Button,
  Group,
  Stack,
  TagsInput,
  Text,
  TextInput,
  Title,
} from "@mantine/core"
import { useDisclosure } from "@mantine/hooks"
import { IconPlus, IconTrash } from "@tabler/icons-react"
import { type FormEvent, useState } from "react"
import { useTranslation } from "react-i18next"
import { Link } from "react-router"

import { Dialog } from "../../parts/Dialog"
import { api, type Shape, use } from "../../api/client"
import { Confirm } from "../../parts/Confirm"
import { type ColumnOf, DataTable } from "../../parts/DataTable"
import { number } from "../../parts/format"
import { Gate } from "../../parts/Gate"
import { Problem } from "../../parts/Problem"
import { type Project, useChanged } from "./shapes"

type Model = Shape["ListedModel"]

interface Props {
  project: Project
  models: Shape["ModelList"] | undefined
}

/** The project's own logical names, and the shared ones that they stand beside. */
export function OwnNames({ project, models }: Props) {
  const { t } = useTranslation("projects")
  const changed = useChanged()
  const [adding, add] = useDisclosure()
  const [leaving, setLeaving] = useState<Model | null>(null)
  const columns: ColumnOf<Model>[] = [
    {
      id: "name",
      title: t("models.name"),
      sort: ({ name }) => name,
      cell: ({ name, project_id, description }) => (
        <>
          <Group gap={6}>
            <Anchor component={Link} to={`/models?q=${encodeURIComponent(name)}`} size="sm" fw={500}>
              {name}
            </Anchor>
            {!project_id && (
              <Badge size="sm" color="gray">
                {t("models.shared")}
              </Badge>
            )}
          </Group>
          {description && (
            <Text size="xs" c="dimmed" lineClamp={1}>
              {description}
            </Text>
          )}
        </>
      ),
    },
    { id: "backend", title: t("models.backend"), cell: ({ backend }) => backend.join(" → ") },
    {
      id: "healthy",
      title: t("models.healthy"),
      right: true,
      sort: ({ healthy_servers }) => healthy_servers,
      cell: ({ healthy_servers }) => (
        <Text size="sm" c={healthy_servers ? undefined : "red"} fw={healthy_servers ? undefined : 600}>
          {number(healthy_servers)}
        </Text>
      ),
    },
    {
      id: "actions",
      title: "",
      right: true,
      width: 48,
      cell: (model) =>
        model.project_id && (
          <Gate locked={model.owner === "file"}>
            {(disabled) => (
              <ActionIcon
                aria-label={t("models.unmap", { name: model.name })}
                disabled={disabled}
                onClick={() => setLeaving(model)}
              >
                <IconTrash size={15} />
              </ActionIcon>
            )}
          </Gate>
        ),
    },
  ]
  return (
    <div>
      <Group justify="space-between" mb="xs">
        <div>
          <Title order={2} size="h5">
            {t("models.names")}
          </Title>
          <Text size="sm" c="dimmed">
            {t("models.namesAbout")}
          </Text>
        </div>
        <Gate>
          {(disabled) => (
            <Button
              variant="default"
              leftSection={<IconPlus size={15} />}
              disabled={disabled}
              onClick={add.open}
            >
              {t("models.add")}
            </Button>
          )}
        </Gate>
      </Group>
      <DataTable
        label={t("models.names")}
        columns={columns}
        rows={models?.data}
        keyOf={({ id }) => id}
        sortedBy="name"
      />
      {adding && (
        <AddName
          project={project}
          physical={models?.physical.map(({ name }) => name) ?? []}
          onClose={add.close}
        />
      )}
      {leaving && (
        <Confirm
          opened
          onClose={() => setLeaving(null)}
          title={t("models.unmap", { name: leaving.name })}
          text={t("models.unmapAbout")}
          action={t("delete", { ns: "shell" })}
          onAction={async () => {
            await api.DELETE("/admin/api/models/{model_id}", { params: { path: { model_id: leaving.id } } })
            await changed()
          }}
        />
      )}
    </div>
  )
}

function AddName({
  project,
  physical,
  onClose,
}: {
  project: Project
  physical: string[]
  onClose: () => void
}) {
  const { t } = useTranslation("projects")
  const changed = useChanged()
  const [backend, setBackend] = useState<string[]>([])
  const create = use.useMutation("post", "/admin/api/models", {
    onSuccess: async () => {
      await changed()
      onClose()
    },
  })
  function submit(event: FormEvent<HTMLFormElement>) {
    event.preventDefault()
    const form = new FormData(event.currentTarget)
    const [name, description] = ["name", "description"].map((field) => String(form.get(field)).trim())
    create.mutate({ body: { project: project.id, name: name!, description: description!, backend } })
  }
  return (
    <Dialog onClose={onClose} title={t("models.add")}>
      <form onSubmit={submit}>
        <Stack gap="sm">
          <TextInput name="name" label={t("models.name")} required maxLength={200} data-autofocus />
          <TagsInput
            label={t("models.backend")}
            description={t("models.backendAbout")}
            value={backend}
            onChange={setBackend}
            data={physical}
            limit={50}
            withAsterisk
          />
          <TextInput name="description" label={t("fields.description")} maxLength={2000} />
          {create.error && <Problem error={create.error} />}
          <Group justify="flex-end">
            <Button variant="default" onClick={onClose}>
              {t("cancel", { ns: "shell" })}
            </Button>
            <Button type="submit" loading={create.isPending} disabled={backend.length === 0}>
              {t("create", { ns: "shell" })}
            </Button>
          </Group>
        </Stack>
      </form>
    </Dialog>
  )
}
