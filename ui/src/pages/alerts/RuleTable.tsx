import { ActionIcon, Badge, Card, Group, Menu, Switch, Text, Tooltip } from "@mantine/core"
import { IconDots, IconFlask, IconLock, IconPencil, IconRestore, IconTrash } from "@tabler/icons-react"
import { useTranslation } from "react-i18next"
import { Link } from "react-router"

import { useMay } from "../../app/session"
import { type ColumnOf, DataTable } from "../../parts/DataTable"
import { DASH } from "../../parts/format"
import { Gate } from "../../parts/Gate"
import { SeverityBadge } from "./Severity"
import { type Rule, spanOf } from "./shapes"

export type What = "edit" | "test" | "delete"

interface Props {
  rules: Rule[] | undefined
  onChoose: (what: What, rule: Rule) => void
  onSwitch: (rule: Rule, enabled: boolean) => void
}

/** Everything that is watched: built-in rules, the config file's (locked), and those that are kept here. */
export function RuleTable({ rules, onChoose, onSwitch }: Props) {
  const { t } = useTranslation("alerts")
  const may = useMay("editor")
  const columns: ColumnOf<Rule>[] = [
    {
      id: "on",
      title: t("columns.on"),
      width: 60,
      cell: (rule) => (
        <Gate locked={rule.owner === "file"}>
          {(disabled) => (
            <Switch
              size="xs"
              aria-label={t("watch", { name: rule.name })}
              checked={rule.enabled}
              disabled={disabled}
              onChange={(event) => onSwitch(rule, event.currentTarget.checked)}
            />
          )}
        </Gate>
      ),
    },
    {
      id: "name",
      title: t("columns.rule"),
      sort: ({ name }) => name,
      cell: ({ name, owner, changes_built_in }) => (
        <Group gap={6} wrap="nowrap">
          <Text size="sm" fw={500}>
            {name}
          </Text>
          {owner === "file" && (
            <Tooltip label={t("owned.file", { ns: "shell" })} multiline maw={300}>
              <IconLock size={14} role="img" aria-label={t("owned.file", { ns: "shell" })} />
            </Tooltip>
          )}
          {owner === "built_in" && (
            <Badge color="gray" flex="none">
              {t("builtIn")}
            </Badge>
          )}
          {owner !== "built_in" && changes_built_in && (
            <Badge color="gray" flex="none">
              {t("changed")}
            </Badge>
          )}
        </Group>
      ),
    },
    {
      id: "condition",
      title: t("columns.condition"),
      sort: ({ metric }) => metric,
      cell: ({ condition, over_s }) => (
        <Text size="sm" className="numbers" style={{ whiteSpace: "nowrap" }}>
          {condition}
          {over_s ? (
            <Text span inherit c="dimmed">
              {" "}
              {t("over_", { span: spanOf(over_s) })}
            </Text>
          ) : null}
        </Text>
      ),
    },
    {
      id: "for",
      title: t("columns.for"),
      right: true,
      sort: ({ for_s }) => for_s,
      cell: ({ for_s }) => spanOf(for_s) || DASH,
    },
    {
      id: "of",
      title: t("columns.of"),
      cell: ({ project, model, each }) =>
        [project, model, each && t(`each.${each}`)].filter(Boolean).join(", ") || t("everything"),
    },
    {
      id: "severity",
      title: t("columns.severity"),
      sort: ({ severity }) => severity,
      cell: ({ severity }) => <SeverityBadge severity={severity} />,
    },
    {
      id: "firing",
      title: t("columns.firing"),
      right: true,
      sort: ({ firing }) => firing,
      cell: ({ firing }) => (firing ? <Link to="/alerts">{firing}</Link> : 0),
    },
    {
      id: "actions",
      title: "",
      width: 44,
      right: true,
      cell: (rule) => (
        <Menu position="bottom-end" width={220}>
          <Menu.Target>
            <ActionIcon aria-label={t("actions", { name: rule.name })}>
              <IconDots size={16} />
            </ActionIcon>
          </Menu.Target>
          <Menu.Dropdown>
            <Menu.Item
              leftSection={<IconFlask size={15} />}
              disabled={!may}
              onClick={() => onChoose("test", rule)}
            >
              {t("menu.test")}
            </Menu.Item>
            <Menu.Item
              leftSection={<IconPencil size={15} />}
              disabled={!may || rule.owner === "file"}
              onClick={() => onChoose("edit", rule)}
            >
              {t("menu.edit")}
            </Menu.Item>
            {rule.owner === "database" && (
              <Menu.Item
                color="red"
                leftSection={rule.changes_built_in ? <IconRestore size={15} /> : <IconTrash size={15} />}
                disabled={!may}
                onClick={() => onChoose("delete", rule)}
              >
                {t(rule.changes_built_in ? "menu.restore" : "menu.delete")}
              </Menu.Item>
            )}
          </Menu.Dropdown>
        </Menu>
      ),
    },
  ]
  return (
    <Card padding={0}>
      <DataTable
        label={t("tabs.rules")}
        columns={columns}
        rows={rules}
        keyOf={({ name }) => name}
        sortedBy="name"
      />
    </Card>
  )
}
