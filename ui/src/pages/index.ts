/** Every page of the dashboard: one line here, one folder beside it (page, `en.json`, `es.json`). */
import {
  IconActivity,
  IconBolt,
  IconBox,
  IconChartBar,
  IconFolders,
  IconHistory,
  IconListSearch,
  IconMessage,
  IconPlug,
  IconBell,
  IconRocket,
  IconServer2,
  IconSettings,
  IconUsers,
} from "@tabler/icons-react"
import type { ComponentType } from "react"

export interface Page {
  /** Folder, address and place of its texts, whose `title` names it. */
  id: string
  group: "observe" | "serve" | "try" | "admin"
  /** `g` and this letter lead there. */
  key: string
  icon: ComponentType<{ size?: number; stroke?: number }>
  load: () => Promise<{ default: ComponentType }>
  /** Who sees it; absent: everybody. */
  role?: "owner" | "editor"
}

export const pages: Page[] = [
  { id: "overview", group: "observe", key: "o", icon: IconActivity, load: () => import("./overview") },
  { id: "live", group: "observe", key: "l", icon: IconBolt, load: () => import("./live") },
  { id: "requests", group: "observe", key: "r", icon: IconListSearch, load: () => import("./requests") },
  { id: "usage", group: "observe", key: "u", icon: IconChartBar, load: () => import("./usage") },
  { id: "alerts", group: "observe", key: "a", icon: IconBell, load: () => import("./alerts") },
  { id: "projects", group: "serve", key: "p", icon: IconFolders, load: () => import("./projects") },
  { id: "models", group: "serve", key: "m", icon: IconBox, load: () => import("./models") },
  { id: "fleet", group: "serve", key: "f", icon: IconServer2, load: () => import("./fleet") },
  { id: "playground", group: "try", key: "y", icon: IconMessage, load: () => import("./playground") },
  { id: "connect", group: "try", key: "c", icon: IconPlug, load: () => import("./connect") },
  { id: "start", group: "try", key: "s", icon: IconRocket, load: () => import("./start") },
  { id: "settings", group: "admin", key: "e", icon: IconSettings, load: () => import("./settings") },
  { id: "audit", group: "admin", key: "t", icon: IconHistory, load: () => import("./audit") },
  { id: "users", group: "admin", key: "i", icon: IconUsers, load: () => import("./users"), role: "owner" },
]
