import { Card, Group, Text, Tooltip } from "@mantine/core"
import { IconArrowDownRight, IconArrowUpRight } from "@tabler/icons-react"
import { useTranslation } from "react-i18next"
import { Link } from "react-router"

import { percent } from "./format"
import { Sparkline } from "./Sparkline"

interface Props {
  label: string
  value: string
  /** A second figure, smaller: `p95 1.2 s`. */
  beside?: string
  /** What it means, on hover. */
  about?: string
  now?: number | null
  before?: number | null
  /** Whether more is better; absent: neither. */
  good?: "more" | "less"
  trend?: (number | null)[]
  to?: string
}

/** One figure: its change against the time before, its course, and where it leads. */
export function Kpi({ label, value, beside, about, now, before, good, trend, to }: Props) {
  const { t } = useTranslation()
  const change = now != null && before ? (now - before) / before : null
  const better = change == null || !good ? null : good === "more" ? change > 0 : change < 0
  const Arrow = change != null && change < 0 ? IconArrowDownRight : IconArrowUpRight
  const card = (
    <Card padding="sm" h="100%">
      <Tooltip label={about} disabled={!about} multiline maw={280}>
        <Text size="xs" c="dimmed" fw={500} w="fit-content">
          {label}
        </Text>
      </Tooltip>
      <Group justify="space-between" align="flex-end" wrap="nowrap" gap="xs">
        <Text fz={24} fw={600} lh={1.3} className="numbers">
          {value}
        </Text>
        {trend && trend.length > 1 && <Sparkline values={trend} />}
      </Group>
      <Group justify="space-between" gap="xs" wrap="nowrap">
        {change != null && Math.abs(change) >= 0.0005 ? (
          <Group gap={2} wrap="nowrap" c={better == null ? "dimmed" : better ? "teal.text" : "red.text"}>
            <Arrow size={14} aria-hidden />
            <Text size="xs" className="numbers">
              {percent(Math.abs(change), Math.abs(change) < 0.1 ? 1 : 0)} {t("kpi.before")}
            </Text>
          </Group>
        ) : (
          <Text size="xs" c="dimmed">
            {change == null ? "\u00a0" : t("kpi.same")}
          </Text>
        )}
        {beside && (
          <Text size="xs" c="dimmed" className="numbers" ta="right">
            {beside}
          </Text>
        )}
      </Group>
    </Card>
  )
  return to ? (
    <Link to={to} className="card-link">
      {card}
    </Link>
  ) : (
    card
  )
}
