import { Group, Select } from "@mantine/core"
import { useMemo } from "react"
import { useTranslation } from "react-i18next"

import { Search } from "../../parts/Search"
import { type Url, values } from "./matching"
import type { Server } from "./shapes"

interface Props {
  all: Server[] | undefined
  url: Url
  set: (changes: Partial<Url>) => void
}

export function Filters({ all, url, set }: Props) {
  const { t } = useTranslation("fleet")
  const models = useMemo(
    () => [...new Set(all?.flatMap((row) => row.models))].sort((a, b) => a.localeCompare(b)),
    [all],
  )
  const one = (name: "trust" | "source" | "kind" | "country" | "model", data: string[], word?: boolean) =>
    (data.length > 1 || url[name] !== "") && (
      <Select
        w={{ base: "47%", xs: name === "model" ? 190 : 130 }}
        aria-label={t(`filter.${name}`)}
        placeholder={t(`filter.${name}`)}
        clearable
        searchable={data.length > 8}
        limit={100}
        data={[...new Set([...data, ...(url[name] ? [url[name]] : [])])].map((value) => ({
          value,
          label: word ? t(`${name}.${value}`, value) : value,
        }))}
        value={url[name] || null}
        onChange={(value) => set({ [name]: value ?? "" })}
      />
    )
  return (
    <Group gap="xs" mb="sm">
      <Search
        w={{ base: "100%", xs: 260 }}
        label={t("filter.q")}
        value={url.q}
        onChange={(q) => set({ q })}
      />
      {one("model", models)}
      {one(
        "trust",
        values(all, (row) => row.trust),
        true,
      )}
      {one(
        "source",
        values(all, (row) => row.source),
        true,
      )}
      {one(
        "kind",
        values(all, (row) => row.kind),
      )}
      {one(
        "country",
        values(all, (row) => row.country),
      )}
    </Group>
  )
}
