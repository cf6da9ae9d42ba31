import { Button, Group, Skeleton, Table, Text } from "@mantine/core"
import { useState } from "react"
import { useTranslation } from "react-i18next"

import { use } from "../../api/client"
import { Dot } from "../../parts/Dot"
import { absolute, duration } from "../../parts/format"
import { Problem } from "../../parts/Problem"
import { When } from "../../parts/When"
import { Lane } from "./Lane"
import { COLOURS } from "./shapes"

const DAY = 86_400_000
const FEW = 5

/** The states of one server over the last 24 hours, and why they changed. */
export function Timeline({ id }: { id: string }) {
  const { t } = useTranslation("fleet")
  const [all, setAll] = useState(false)
  const { data, error, dataUpdatedAt } = use.useQuery("get", "/admin/api/servers/{server}/timeline", {
    params: { path: { server: id } },
  })
  if (error) return <Problem error={error} />
  if (!data) return <Skeleton h={60} />
  const now = dataUpdatedAt
  const spells = data.data
    .map((spell) => ({
      ...spell,
      begin: Math.max(Date.parse(spell.from), now - DAY),
      end: spell.until ? Date.parse(spell.until) : now,
    }))
    .filter(({ end }) => end > now - DAY)
  const latest = spells.toReversed()
  const words = (spell: (typeof spells)[number]) =>
    `${t(`state.${spell.state}`)}: ${absolute(new Date(spell.begin).toISOString(), false)}, ${duration(spell.end - spell.begin)}`
  return (
    <>
      <Lane
        label={latest.slice(0, FEW).map(words).join("; ") || t("lanes.unknown")}
        stretches={spells.map((spell) => ({
          from: Math.max(0, 1 - (now - spell.begin) / DAY),
          until: 1 - (now - spell.end) / DAY,
          state: spell.state,
          title: words(spell),
        }))}
      />
      <Group justify="space-between" mb="xs">
        <Text size="xs" c="dimmed">
          {t("lanes.begin", { count: 24 })}
        </Text>
        {data.since && (
          <Text size="xs" c="dimmed">
            {t("lanes.since", { time: absolute(data.since, false) })}
          </Text>
        )}
        <Text size="xs" c="dimmed">
          {t("lanes.now")}
        </Text>
      </Group>
      <Table aria-label={t("timeline")}>
        <Table.Tbody>
          {latest.slice(0, all ? undefined : FEW).map((spell) => (
            <Table.Tr key={spell.from}>
              <Table.Td>
                <Dot color={COLOURS[spell.state]}>{t(`state.${spell.state}`)}</Dot>
                <Text size="xs" c="dimmed">
                  {spell.reason}
                </Text>
              </Table.Td>
              <Table.Td w={120}>
                <When at={spell.from} />
              </Table.Td>
              <Table.Td w={120} ta="right">
                {spell.until ? duration(spell.end - spell.begin) : t("lasts")}
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
      {!all && latest.length > FEW && (
        <Button variant="subtle" mt={4} onClick={() => setAll(true)}>
          {t("allSpells", { count: latest.length })}
        </Button>
      )}
    </>
  )
}
