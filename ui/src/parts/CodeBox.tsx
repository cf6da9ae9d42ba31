import { ActionIcon, Box, CopyButton, Tooltip } from "@mantine/core"
import { IconCheck, IconCopy } from "@tabler/icons-react"
import { useTranslation } from "react-i18next"

export function Copy({ value, label }: { value: string; label?: string }) {
  const { t } = useTranslation()
  return (
    <CopyButton value={value}>
      {({ copied, copy }) => (
        <Tooltip label={copied ? t("copied") : (label ?? t("copy"))}>
          <ActionIcon aria-label={label ?? t("copy")} onClick={copy} color={copied ? "teal" : "gray"}>
            {copied ? <IconCheck size={15} /> : <IconCopy size={15} />}
          </ActionIcon>
        </Tooltip>
      )}
    </CopyButton>
  )
}

/** Text to select or to copy. */
export function CodeBox({ code, label }: { code: string; label?: string }) {
  return (
    <div className="code">
      <pre tabIndex={0} aria-label={label}>
        {code}
      </pre>
      <Box className="code-copy" bg="var(--mantine-color-body)">
        <Copy value={code} />
      </Box>
    </div>
  )
}
