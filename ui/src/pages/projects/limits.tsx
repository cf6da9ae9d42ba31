import { NumberInput, Progress, SimpleGrid, Stack, Text, Tooltip } from "@mantine/core"
import { useTranslation } from "react-i18next"

import { percent } from "../../parts/format"
import { When } from "../../parts/When"
import { amount, type Figure, isCost, limitNames, type Limits, share } from "./shapes"

const colour = (part: number) => (part >= 1 ? "red" : part >= 0.8 ? "yellow" : undefined)

/** Of several limits the one that is nearest to its end; on hover all of them. */
export function Tightest({ figures }: { figures: Figure[] }) {
  const { t } = useTranslation("projects")
  if (figures.length === 0)
    return (
      <Text size="sm" c="dimmed">
        {t("unlimited", { ns: "shell" })}
      </Text>
    )
  const tightest = figures.reduce((most, figure) => (share(figure) > share(most) ? figure : most))
  const told = figures.map((each) => `${t(`limits.${each.name}`)}: ${percent(share(each), 0)}`).join(" · ")
  return (
    <Tooltip label={told} multiline maw={360}>
      <div tabIndex={-1} style={{ minWidth: 150 }}>
        <Text size="xs" c="dimmed" className="numbers">
          {t(`limits.${tightest.name}`)} · {percent(share(tightest), 0)}
        </Text>
        <Bar figure={tightest} />
      </div>
    </Tooltip>
  )
}

function Bar({ figure, size = "xs" }: { figure: Figure; size?: string }) {
  const { t } = useTranslation("projects")
  const { limit, used, reserved } = figure
  const done = Math.min(100, (used / limit) * 100)
  return (
    <Progress.Root size={size} aria-hidden>
      <Progress.Section value={done} color={colour(share(figure))} aria-label={t("limits.used")} />
      <Progress.Section value={Math.min(100 - done, (reserved / limit) * 100)} color="gray.5" />
    </Progress.Root>
  )
}

/** Every limit that there is: used, reserved, and when it is whole again. */
export function LimitBars({ figures }: { figures: Figure[] }) {
  const { t } = useTranslation("projects")
  return (
    <Stack gap="md" component="ul" p={0} m={0} style={{ listStyle: "none" }}>
      {figures.map((figure) => (
        <li key={figure.name}>
          <Text
            size="sm"
            fw={500}
            component="div"
            style={{ display: "flex", justifyContent: "space-between" }}
          >
            <span>{t(`limits.${figure.name}`)}</span>
            <span className="numbers">
              {amount(figure.name, figure.used)} / {amount(figure.name, figure.limit)}
            </span>
          </Text>
          <Bar figure={figure} size="sm" />
          <Text size="xs" c="dimmed" component="div">
            {percent(share(figure), 0)}
            {figure.reserved > 0 &&
              ` · ${t("limits.reserved", { amount: amount(figure.name, figure.reserved) })}`}
            {" · "}
            {figure.resets_at ? (
              <>
                {t("limits.resets")} <When at={figure.resets_at} />
              </>
            ) : (
              t(figure.name === "max_concurrency" ? "limits.frees" : "limits.flows")
            )}
          </Text>
        </li>
      ))}
    </Stack>
  )
}

export type LimitTexts = Partial<Record<keyof Limits, number | string>>

export const textsOf = (limits: Limits): LimitTexts =>
  Object.fromEntries(limitNames.map((name) => [name, limits[name] ?? ""]))

export const limitsOf = (texts: LimitTexts): Limits =>
  Object.fromEntries(
    limitNames.map((name) => [name, texts[name] === "" || texts[name] == null ? null : Number(texts[name])]),
  )

interface Fields {
  texts: LimitTexts
  onChange: (texts: LimitTexts) => void
  readOnly?: boolean
}

/** Empty: unlimited. */
export function LimitFields({ texts, onChange, readOnly }: Fields) {
  const { t } = useTranslation("projects")
  return (
    <SimpleGrid cols={{ base: 1, xs: 2 }} spacing="sm">
      {limitNames.map((name) => (
        <NumberInput
          key={name}
          size="sm"
          label={t(`limits.${name}`)}
          placeholder={t("unlimited", { ns: "shell" })}
          value={texts[name] ?? ""}
          onChange={(value) => onChange({ ...texts, [name]: value })}
          min={isCost(name) ? 0.000001 : 1}
          allowDecimal={isCost(name)}
          allowNegative={false}
          thousandSeparator=" "
          hideControls
          readOnly={readOnly}
          variant={readOnly ? "filled" : undefined}
        />
      ))}
    </SimpleGrid>
  )
}
