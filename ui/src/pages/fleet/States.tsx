import { Group, Text, UnstyledButton } from "@mantine/core"
import { useTranslation } from "react-i18next"

import { Dot } from "../../parts/Dot"
import { number } from "../../parts/format"
import { COLOURS, type Server, STATES } from "./shapes"
import classes from "./fleet.module.css"

interface Props {
  rows: Server[] | undefined
  chosen: string
  choose: (state: string) => void
}

/** How many servers are in which state; a press shows only those. */
export function States({ rows, chosen, choose }: Props) {
  const { t } = useTranslation("fleet")
  const button = (state: string, count: number | undefined, name: React.ReactNode) => (
    <UnstyledButton
      key={state}
      className={classes.state}
      aria-pressed={chosen === state}
      onClick={() => choose(chosen === state ? "" : state)}
    >
      <Text fz={20} fw={600} lh={1.2} className="numbers">
        {number(count)}
      </Text>
      <Text size="xs" component="div">
        {name}
      </Text>
    </UnstyledButton>
  )
  return (
    <Group gap="xs" mb="md" role="group" aria-label={t("states")}>
      {button("", rows?.length, t("all"))}
      {STATES.map((state) =>
        button(
          state,
          rows?.filter((row) => row.state === state).length,
          <Dot color={COLOURS[state]}>{t(`state.${state}`)}</Dot>,
        ),
      )}
    </Group>
  )
}
