import { Alert, Button, Group, Text, ThemeIcon, Title } from "@mantine/core"
import { IconAlertTriangle, IconCheck, IconCircleDotted, IconLoader2 } from "@tabler/icons-react"
import type { ReactNode } from "react"
import { useTranslation } from "react-i18next"
import { Link } from "react-router"

import { Words } from "../../parts/Words"
import classes from "./start.module.css"
import type { State } from "./shapes"

const icons = { done: IconCheck, active: IconLoader2, failed: IconAlertTriangle, waiting: IconCircleDotted }
const colours = { done: "teal", active: "brand", failed: "red", waiting: "gray" }

export interface Trouble {
  cause: string
  hint: string | null
  /** Where it is put right. */
  action?: { label: string; to: string }
}

interface Props {
  state: State
  title: string
  /** What came of it, in a few words. */
  result?: ReactNode
  trouble?: Trouble | null
  children?: ReactNode
}

/** One step: how it stands, what came of it, and where it does not go on, why and what to do. */
export function Step({ state, title, result, trouble, children }: Props) {
  const { t } = useTranslation("start")
  const Icon = icons[state]
  return (
    <li className={classes.step} data-state={state}>
      <ThemeIcon
        size={26}
        radius="xl"
        variant={state === "done" ? "filled" : "light"}
        color={colours[state]}
        className={state === "active" ? classes.turning : undefined}
        role="img"
        aria-label={t(`states.${state}`)}
      >
        <Icon size={15} />
      </ThemeIcon>
      <div className={classes.body}>
        <Group gap="sm" mih={26} align="center">
          <Title order={2} size="h5" c={state === "waiting" ? "dimmed" : undefined}>
            {title}
          </Title>
          {result && (
            <Text size="sm" c="dimmed" component="span">
              {result}
            </Text>
          )}
        </Group>
        {trouble && (
          <Alert color="red" mt="xs" p="sm" role="status">
            <Text size="sm" fw={500}>
              <Words>{trouble.cause}</Words>
            </Text>
            {trouble.hint && (
              <Text size="sm">
                <Words>{trouble.hint}</Words>
              </Text>
            )}
            {trouble.action && (
              <Button mt="xs" variant="default" component={Link} to={trouble.action.to}>
                {trouble.action.label}
              </Button>
            )}
          </Alert>
        )}
        {children}
      </div>
    </li>
  )
}
