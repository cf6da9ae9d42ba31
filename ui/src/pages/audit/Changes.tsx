import { Table, Text } from "@mantine/core"
import { useTranslation } from "react-i18next"

import css from "./audit.module.css"
import { type Change, textOf } from "./changes"

/** Before and after, side by side. */
export function Changes({ changes, label }: { changes: Change[]; label: string }) {
  const { t } = useTranslation("audit")
  if (!changes.length)
    return (
      <Text size="sm" c="dimmed">
        {t("noFields")}
      </Text>
    )
  return (
    <Table aria-label={label} className={css.changes} highlightOnHover={false} verticalSpacing={4}>
      <Table.Thead>
        <Table.Tr>
          <Table.Th w="24%">{t("field")}</Table.Th>
          <Table.Th w="38%">{t("before")}</Table.Th>
          <Table.Th>{t("after")}</Table.Th>
        </Table.Tr>
      </Table.Thead>
      <Table.Tbody>
        {changes.map(({ field, before, after }) => (
          <Table.Tr key={field}>
            <Table.Td>
              <code>{field}</code>
            </Table.Td>
            <Table.Td>
              {before !== undefined && <del className={css.before}>{shown(before, t("unset"))}</del>}
            </Table.Td>
            <Table.Td>
              {after !== undefined && <ins className={css.after}>{shown(after, t("unset"))}</ins>}
            </Table.Td>
          </Table.Tr>
        ))}
      </Table.Tbody>
    </Table>
  )
}

const shown = (value: unknown, unset: string) => (value === null || value === "" ? unset : textOf(value))
