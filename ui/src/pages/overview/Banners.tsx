import { Alert, Anchor, Stack } from "@mantine/core"
import { IconAlertTriangle, IconBell, IconWorld } from "@tabler/icons-react"
import type { ReactNode } from "react"
import { useTranslation } from "react-i18next"
import { Link } from "react-router"

import type { Shape } from "../../api/client"
import { percent } from "../../parts/format"
import type { Overview } from "./series"

interface Props {
  health: Shape["HealthView"] | undefined
  alerts: Shape["AlertList"] | undefined
  found: Overview | undefined
  link: (page: "requests", filters?: Record<string, string>) => string
}

/** What somebody should look at first; nothing when all is well. */
export function Banners({ health, alerts, found, link }: Props) {
  const { t } = useTranslation("overview")
  const firing = alerts?.data.filter(({ state }) => state === "firing") ?? []
  const open = found?.top.tiers.find(({ tier }) => tier === "public")?.requests ?? 0
  const shown: ReactNode[] = []
  if (health && health.status !== "ok")
    shown.push(
      <Banner
        key="health"
        color={health.status === "down" ? "red" : "yellow"}
        icon={<IconAlertTriangle />}
        title={t(`banner.${health.status}`)}
        to={health.database === "ok" && health.log === "ok" ? "/fleet" : "/settings"}
        action={t("banner.look")}
      >
        {t(`banner.${causeOf(health)}`)}
      </Banner>,
    )
  if (firing.length)
    shown.push(
      <Banner
        key="alerts"
        color={firing.some(({ severity }) => severity === "critical") ? "red" : "yellow"}
        icon={<IconBell />}
        title={t("banner.firing", { count: firing.length })}
        to="/alerts"
        action={t("banner.alerts")}
      >
        {firing
          .slice(0, 3)
          .map(({ rule, subject }) => `${rule}: ${subject}`)
          .join(" · ")}
        {firing.length > 3 && " …"}
      </Banner>,
    )
  if (found && open)
    shown.push(
      <Banner
        key="public"
        color="blue"
        icon={<IconWorld />}
        title={t("banner.public", { share: percent(open / found.current.requests) })}
        to={link("requests", { tier: "public" })}
        action={t("banner.which")}
      >
        {t("banner.publicText")}
      </Banner>,
    )
  return shown.length ? (
    <Stack gap="xs" mb="md">
      {shown}
    </Stack>
  ) : null
}

function causeOf(health: Shape["HealthView"]): string {
  if (health.database !== "ok") return "database"
  if (health.log !== "ok") return health.log === "failing" ? "logFailing" : "logWaiting"
  return "fleet"
}

interface BannerProps {
  color: string
  icon: ReactNode
  title: string
  children: ReactNode
  to: string
  action: string
}

function Banner({ color, icon, title, children, to, action }: BannerProps) {
  return (
    <Alert color={color} icon={icon} title={title} p="sm">
      {children}{" "}
      <Anchor component={Link} to={to} size="sm" c="inherit" underline="always">
        {action}
      </Anchor>
    </Alert>
  )
}
