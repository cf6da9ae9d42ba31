import { NumberInput, Select, Stack, Textarea } from "@mantine/core"
import { useTranslation } from "react-i18next"

/** What may be set beside the model; empty: the model's defaults. */
export const numbers = {
  temperature: { min: 0, max: 2, step: 0.1 },
  max_tokens: { min: 1, max: 1_000_000, step: 64 },
  top_p: { min: 0, max: 1, step: 0.05 },
  top_k: { min: 0, max: 1000, step: 1 },
  num_ctx: { min: 256, max: 1_000_000, step: 1024 },
  seed: { min: 0, max: 2 ** 31 - 1, step: 1 },
} as const
export type Numbers = Partial<Record<keyof typeof numbers, number>>

interface Props {
  projects: string[]
  project: string
  onProject: (name: string) => void
  system: string
  onSystem: (text: string) => void
  values: Numbers
  onValues: (values: Numbers) => void
}

export function Options({ projects, project, onProject, system, onSystem, values, onValues }: Props) {
  const { t } = useTranslation("playground")
  return (
    <Stack gap="sm">
      <Select
        label={t("project")}
        description={t("projectAbout")}
        data={projects}
        value={project || null}
        onChange={(name) => onProject(name ?? "")}
        allowDeselect={false}
        searchable
      />
      <Textarea
        label={t("system")}
        value={system}
        onChange={(event) => onSystem(event.currentTarget.value)}
        autosize
        minRows={2}
        maxRows={8}
      />
      {Object.entries(numbers).map(([name, bounds]) => (
        <NumberInput
          key={name}
          size="xs"
          label={name}
          placeholder={t("default")}
          {...bounds}
          value={values[name as keyof Numbers] ?? ""}
          onChange={(value) => onValues({ ...values, [name]: value === "" ? undefined : Number(value) })}
        />
      ))}
    </Stack>
  )
}
