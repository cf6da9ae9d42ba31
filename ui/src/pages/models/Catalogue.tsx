import { Checkbox, Group, MultiSelect, Select, Text, Tooltip } from "@mantine/core"
import { IconAlertTriangle, IconBox } from "@tabler/icons-react"
import { keepPreviousData } from "@tanstack/react-query"
import { useTranslation } from "react-i18next"

import { use, type Shape } from "../../api/client"
import { type ColumnOf, DataTable } from "../../parts/DataTable"
import { Dot } from "../../parts/Dot"
import { Empty } from "../../parts/Empty"
import { bytes, compact, number } from "../../parts/format"
import { Problem } from "../../parts/Problem"
import { Search } from "../../parts/Search"
import { useUrl } from "../../parts/url"

type Found = Shape["CatalogueModel"]
const DEFAULTS = { q: "", family: "", quant: "", can: "", min: "", max: "", context: "", healthy: "" }
const MOST = 500 // the server's own order: most healthy servers first
const SIZES = ["1b", "3b", "8b", "14b", "32b", "70b"]
const CONTEXTS = ["4096", "8192", "32768", "131072", "1048576"]
const several = (text: string) => (text ? text.split(",") : [])

/** The physical models that the fleet holds, by what is looked for. */
export function Catalogue({ chosen, open }: { chosen: string; open: (name: string) => void }) {
  const { t } = useTranslation("models")
  const [url, set] = useUrl(DEFAULTS)
  const query = {
    q: url.q,
    family: several(url.family),
    quantization: several(url.quant),
    capability: several(url.can),
    min_parameters: url.min || undefined,
    max_parameters: url.max || undefined,
    min_context: Number(url.context) || undefined,
    healthy: url.healthy === "1",
    limit: MOST,
  }
  const { data, error, refetch } = use.useQuery(
    "get",
    "/admin/api/catalogue",
    { params: { query } },
    { placeholderData: keepPreviousData },
  )
  if (error) return <Problem error={error} again={() => void refetch()} />

  const facet = (name: keyof Shape["Facets"], chosenOnes: string[]) => {
    const found = data?.facets[name] ?? []
    const missing = chosenOnes.filter((each) => !found.some(({ value }) => value === each))
    return [
      ...found.map(({ value, count }) => ({ value, label: `${value} (${number(count)})` })),
      ...missing.map((value) => ({ value, label: `${value} (0)` })),
    ]
  }
  const facets = (name: "family" | "quant" | "can", of: keyof Shape["Facets"]) => (
    <MultiSelect
      size="sm"
      w={{ base: "100%", xs: 170 }}
      label={t(`filter.${name}`)}
      placeholder={url[name] ? undefined : t("filter.any")}
      searchable
      clearable
      data={facet(of, several(url[name]))}
      value={several(url[name])}
      onChange={(values) => set({ [name]: values.join(",") })}
    />
  )
  const one = (name: "min" | "max" | "context", values: string[], shown: (value: string) => string) => (
    <Select
      w={{ base: "30%", xs: 105 }}
      label={t(`filter.${name}`)}
      placeholder={t("filter.any")}
      clearable
      data={values.map((value) => ({ value, label: shown(value) }))}
      value={url[name] || null}
      onChange={(value) => set({ [name]: value ?? "" })}
    />
  )

  const columns: ColumnOf<Found>[] = [
    {
      id: "name",
      title: t("name"),
      sort: ({ name }) => name,
      cell: ({ name, logical, twins }) => (
        <>
          <Text size="sm" fw={500} ff="monospace">
            {name}
          </Text>
          {(logical.length > 0 || twins.length > 0) && (
            <Text size="xs" c="dimmed">
              {[
                logical.length && t("servesNames", { count: logical.length }),
                twins.length && t("twins", { count: twins.length }),
              ]
                .filter(Boolean)
                .join(" · ")}
            </Text>
          )}
        </>
      ),
    },
    { id: "family", title: t("family"), sort: ({ family }) => family, cell: ({ family }) => family ?? "–" },
    {
      id: "size",
      title: t("size"),
      right: true,
      sort: ({ parameters }) => parameters,
      cell: (row) => row.parameter_size ?? compact(row.parameters),
    },
    {
      id: "quant",
      title: t("quantization"),
      sort: ({ quantization }) => quantization,
      cell: ({ quantization }) => quantization ?? "–",
    },
    {
      id: "context",
      title: t("context"),
      right: true,
      sort: (row) => row.context_length,
      cell: (row) => number(row.context_length),
    },
    {
      id: "bytes",
      title: t("bytes"),
      right: true,
      sort: (row) => row.size_bytes,
      cell: (row) => bytes(row.size_bytes),
    },
    {
      id: "can",
      title: t("can"),
      cell: ({ capabilities }) => (
        <Text size="xs" c="dimmed" maw={230}>
          {capabilities.map((each) => t(`capability.${each}`, each)).join(", ") || "–"}
        </Text>
      ),
    },
    {
      id: "healthy",
      title: t("healthyOf"),
      right: true,
      sort: (row) => row.healthy_servers,
      cell: (row) => <Healthy row={row} />,
    },
  ]

  return (
    <>
      <Group align="flex-end" gap="xs" mb="sm">
        <Search
          w={{ base: "100%", xs: 240 }}
          label={t("filter.q")}
          placeholder="llama coder"
          value={url.q}
          onChange={(q) => set({ q })}
        />
        {facets("family", "family")}
        {facets("quant", "quantization")}
        {facets("can", "capability")}
        {one("min", SIZES, (value) => value.toUpperCase())}
        {one("max", SIZES, (value) => value.toUpperCase())}
        {one("context", CONTEXTS, (value) => number(Number(value)))}
        <Checkbox
          mb={8}
          label={t("filter.healthy")}
          checked={url.healthy === "1"}
          onChange={(event) => set({ healthy: event.currentTarget.checked ? "1" : "" })}
        />
      </Group>
      {data && (
        <Text size="xs" c="dimmed" mb={4} role="status">
          {t("found", { matched: number(data.matched), total: number(data.total) })}
          {data.matched > data.data.length && ` ${t("foundFirst", { first: number(data.data.length) })}`}
        </Text>
      )}
      <DataTable
        label={t("tabs.catalogue")}
        columns={columns}
        rows={data?.data}
        keyOf={({ name }) => name}
        onRow={({ name }) => open(name)}
        chosen={chosen || undefined}
        empty={
          <Empty
            icon={IconBox}
            title={t(data?.total ? "nothing.title" : "noModels.title")}
            text={t(data?.total ? "nothing.text" : "noModels.text")}
          />
        }
      />
    </>
  )
}

function Healthy({ row }: { row: Found }) {
  const { t } = useTranslation("models")
  return (
    <Group gap={6} justify="flex-end" wrap="nowrap">
      {row.quarantined_servers > 0 && (
        <Tooltip label={t("quarantinedOn", { count: row.quarantined_servers })}>
          <IconAlertTriangle
            size={14}
            color="var(--mantine-color-orange-6)"
            aria-label={t("quarantinedOn", { count: row.quarantined_servers })}
          />
        </Tooltip>
      )}
      <Dot color={row.healthy_servers ? "teal" : "gray"}>
        {number(row.healthy_servers)} / {number(row.servers)}
      </Dot>
    </Group>
  )
}
