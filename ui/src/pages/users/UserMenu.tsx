import { ActionIcon, Menu } from "@mantine/core"
import {
  IconDots,
  IconKey,
  IconLogout,
  IconPlayerPause,
  IconPlayerPlay,
  IconShield,
  IconTrash,
} from "@tabler/icons-react"
import { useTranslation } from "react-i18next"

import { useMay } from "../../app/session"
import type { User } from "./shapes"

export type What = "role" | "password" | "signOut" | "disable" | "enable" | "delete"

interface Props {
  user: User
  onChoose: (what: What) => void
}

export function UserMenu({ user, onChoose }: Props) {
  const { t } = useTranslation("users")
  const may = useMay("owner")
  const onOff = user.is_active ? "disable" : "enable"
  const items = [
    ["role", IconShield],
    ["password", IconKey],
    ["signOut", IconLogout],
    [onOff, user.is_active ? IconPlayerPause : IconPlayerPlay],
  ] as const
  return (
    <Menu position="bottom-end" width={220}>
      <Menu.Target>
        <ActionIcon aria-label={t("actions", { name: user.name })} disabled={!may}>
          <IconDots size={16} />
        </ActionIcon>
      </Menu.Target>
      <Menu.Dropdown>
        {items.map(([what, Icon]) => (
          <Menu.Item key={what} leftSection={<Icon size={15} />} onClick={() => onChoose(what)}>
            {t(`menu.${what}`)}
          </Menu.Item>
        ))}
        <Menu.Divider />
        <Menu.Item color="red" leftSection={<IconTrash size={15} />} onClick={() => onChoose("delete")}>
          {t("menu.delete")}
        </Menu.Item>
      </Menu.Dropdown>
    </Menu>
  )
}
