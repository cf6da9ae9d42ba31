import { ActionIcon, Menu } from "@mantine/core"
import {
  IconBan,
  IconDots,
  IconGauge,
  IconListSearch,
  IconQuestionMark,
  IconRotate,
} from "@tabler/icons-react"
import { useTranslation } from "react-i18next"
import { Link } from "react-router"

import { useMay } from "../../app/session"
import { type Key, pathOf } from "./shapes"

interface Props {
  of: Key
  onChoose: (what: "rotate" | "revoke" | "limits") => void
}

/** What can be done with a key. */
export function KeyMenu({ of: key, onChoose }: Props) {
  const { t } = useTranslation("projects")
  const may = useMay("editor")
  const fixed = !may || key.owner === "file"
  const why = !may ? t("gate.editor") : key.owner === "file" ? t("owned.file", { ns: "shell" }) : undefined
  return (
    <Menu position="bottom-end" width={230}>
      <Menu.Target>
        <ActionIcon aria-label={t("keys.actions", { name: key.name })}>
          <IconDots size={16} />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        <Menu.Item
          component={Link}
          to={`/requests?key_id=${key.id}`}
          leftSection={<IconListSearch size={15} />}
        >
          {t("seeRequests")}
        </Menu.Item>
        <Menu.Item
          component={Link}
          to={`${pathOf(key.project ?? key.project_id, "models")}&key=${key.id}`}
          leftSection={<IconQuestionMark size={15} />}
        >
          {t("keys.check")}
        </Menu.Item>
        {key.state === "active" && (
          <>
            {why && <Menu.Label>{why}</Menu.Label>}
            <Menu.Item
              disabled={fixed}
              leftSection={<IconGauge size={15} />}
              onClick={() => onChoose("limits")}
            >
              {t("tabs.limits")}
            </Menu.Item>
            <Menu.Item
              disabled={fixed}
              leftSection={<IconRotate size={15} />}
              onClick={() => onChoose("rotate")}
            >
              {t("keys.rotate.item")}
            </Menu.Item>
            <Menu.Item
              color="red"
              disabled={fixed}
              leftSection={<IconBan size={15} />}
              onClick={() => onChoose("revoke")}
            >
              {t("keys.revoke.item")}
            </Menu.Item>
          </>
        )}
      </Menu.Dropdown>
    </Menu>
  )
}
