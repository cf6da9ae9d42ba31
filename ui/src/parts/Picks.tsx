/** Choosing a project or a model to narrow a page's figures to; the lists are asked for when they are opened. */
import { Select } from "@mantine/core"
import { useState } from "react"
import { useTranslation } from "react-i18next"

import { use } from "../api/client"

interface Props {
  value: string
  onChange: (value: string) => void
}

export function ProjectPick({ value, onChange }: Props) {
  const { t } = useTranslation()
  const [opened, setOpened] = useState(false)
  const list = use.useQuery("get", "/admin/api/projects", {}, { enabled: opened })
  const names = list.data?.data.map(({ name }) => name) ?? []
  return (
    <Pick label={t("pick.project")} names={names} open={() => setOpened(true)} {...{ value, onChange }} />
  )
}

export function ModelPick({ value, onChange }: Props) {
  const { t } = useTranslation()
  const [opened, setOpened] = useState(false)
  const list = use.useQuery("get", "/admin/api/models", {}, { enabled: opened })
  const names = [
    ...(list.data?.data.map(({ name }) => name) ?? []),
    ...(list.data?.physical.map(({ name }) => name) ?? []),
  ]
  return <Pick label={t("pick.model")} names={names} open={() => setOpened(true)} {...{ value, onChange }} />
}

function Pick({
  label,
  names,
  open,
  value,
  onChange,
}: Props & { label: string; names: string[]; open: () => void }) {
  return (
    <Select
      aria-label={label}
      placeholder={label}
      size="xs"
      w={170}
      searchable
      clearable
      limit={100}
      data={[...new Set([...names, ...(value ? [value] : [])])]}
      value={value || null}
      onChange={(chosen) => onChange(chosen ?? "")}
      onDropdownOpen={open}
    />
  )
}
