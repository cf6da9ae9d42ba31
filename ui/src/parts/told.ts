import { notifications } from "@mantine/notifications"
import i18n from "i18next"

const close = () => ({ closeButtonProps: { "aria-label": i18n.t("close") } })

export const done = (message: string) =>
  notifications.show({ message, color: "teal", autoClose: 3000, ...close() })

/** For actions without a form of their own; the words are the API's. */
export const failed = (error: unknown) =>
  notifications.show({ message: (error as Error).message, color: "red", autoClose: 10_000, ...close() })
