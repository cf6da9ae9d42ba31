import { Anchor, Group, SimpleGrid, Skeleton, Text } from "@mantine/core"
import type { ReactNode } from "react"
import { useTranslation } from "react-i18next"
import { Link } from "react-router"

import { use } from "../../api/client"
import { Copy } from "../../parts/CodeBox"
import { bytes, compact, number } from "../../parts/format"

/** What servers say of a physical model, and which other names are the very same file. */
export function Physical({ name, look }: { name: string; look: (name: string, as?: string) => void }) {
  const { t } = useTranslation("models")
  const { data } = use.useQuery("get", "/admin/api/catalogue", {
    params: { query: { q: name, limit: 1000 } },
  })
  const model = data?.data.find((each) => each.name === name)
  if (!data) return <Skeleton h={90} />
  if (!model) return null
  return (
    <section aria-label={t("physical")}>
      <SimpleGrid cols={{ base: 2, xs: 3 }} verticalSpacing="xs" mb="sm">
        <Fact name={t("family")}>{model.family ?? "–"}</Fact>
        <Fact name={t("size")}>{model.parameter_size ?? compact(model.parameters)}</Fact>
        <Fact name={t("quantization")}>{model.quantization ?? "–"}</Fact>
        <Fact name={t("context")}>{number(model.context_length)}</Fact>
        <Fact name={t("bytes")}>{bytes(model.size_bytes)}</Fact>
        <Fact name={t("healthyOf")}>
          <Anchor component={Link} to={`/fleet?${new URLSearchParams({ model: name })}`} size="sm">
            {number(model.healthy_servers)} / {number(model.servers)}
          </Anchor>
        </Fact>
      </SimpleGrid>
      <Fact name={t("can")}>
        {model.capabilities.map((each) => t(`capability.${each}`, each)).join(", ") || "–"}
      </Fact>
      {Object.entries(model.digests).map(([digest, servers]) => (
        <Group key={digest} gap={6} mt={4} wrap="nowrap">
          <Text size="xs" c="dimmed" miw={50}>
            {t("digest")}
          </Text>
          <Text size="xs" ff="monospace">
            {digest.slice(0, 12)}
          </Text>
          <Copy value={`${name}@sha256:${digest.slice(0, 12)}`} label={t("copyPin")} />
          <Text size="xs" c="dimmed">
            {t("servers", { count: servers })}
          </Text>
        </Group>
      ))}
      <Others title={t("twinsAre")} names={model.twins.map((each) => ({ name: each }))} look={look} />
      <Others title={t("namesAre")} names={model.logical} look={look} />
    </section>
  )
}

function Fact({ name, children }: { name: string; children: ReactNode }) {
  return (
    <div>
      <Text size="xs" c="dimmed">
        {name}
      </Text>
      <Text size="sm" component="div">
        {children}
      </Text>
    </div>
  )
}

interface Others {
  title: string
  names: { name: string; project?: string | null }[]
  look: (name: string, as?: string) => void
}

function Others({ title, names, look }: Others) {
  if (!names.length) return null
  return (
    <Group gap="xs" mt={6}>
      <Text size="xs" c="dimmed">
        {title}
      </Text>
      {names.map(({ name, project }) => (
        <Anchor
          key={`${project}/${name}`}
          component="button"
          size="xs"
          ff="monospace"
          onClick={() => look(name, project ?? "")}
        >
          {project ? `${project}/${name}` : name}
        </Anchor>
      ))}
    </Group>
  )
}
