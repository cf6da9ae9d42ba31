import { Alert, Anchor, Badge, Collapse, Group, Text, Tooltip, UnstyledButton } from "@mantine/core"
import { useDisclosure } from "@mantine/hooks"
import { IconChevronRight } from "@tabler/icons-react"
import { useTranslation } from "react-i18next"
import Markdown from "react-markdown"
import { Link } from "react-router"
import remarkGfm from "remark-gfm"

import { Copy } from "../../parts/CodeBox"
import { duration, number } from "../../parts/format"
import { type Said, speed } from "./stream"

/** What a model said: never as HTML, without pictures from elsewhere, links only where the text says them. */
export function Answer({ said }: { said: Said }) {
  const { t } = useTranslation("playground")
  const [open, { toggle }] = useDisclosure()
  const rate = speed(said)
  return (
    <div className="answer">
      {said.thought && (
        <>
          <UnstyledButton onClick={toggle} c="dimmed" fz="xs" aria-expanded={open}>
            <IconChevronRight size={12} style={{ transform: open ? "rotate(90deg)" : undefined }} />{" "}
            {t("thoughts")}
          </UnstyledButton>
          <Collapse expanded={open}>
            <Text size="xs" c="dimmed" className="plain">
              {said.thought}
            </Text>
          </Collapse>
        </>
      )}
      <div className="markdown" aria-live="polite" aria-busy={said.state === "running"}>
        <Markdown
          remarkPlugins={[remarkGfm]}
          skipHtml
          components={{
            img: ({ alt }) => <>{alt}</>,
            a: ({ href, children }) => (
              <Anchor href={href} target="_blank" rel="noopener noreferrer nofollow" inherit>
                {children}
              </Anchor>
            ),
          }}
        >
          {said.text}
        </Markdown>
        {said.state === "running" && <span className="caret" aria-hidden />}
      </div>
      {said.error && (
        <Alert color="red" role="alert" p="xs">
          {said.error}
        </Alert>
      )}
      <Group gap={6} mt="xs">
        {said.firstMs != null && (
          <Tooltip label={t("firstAbout")}>
            <Badge color="gray">{t("first", { time: duration(said.firstMs) })}</Badge>
          </Tooltip>
        )}
        {rate != null && <Badge color="gray">{t("speed", { rate: number(rate, rate < 10 ? 1 : 0) })}</Badge>}
        {said.tokens != null && (
          <Badge color="gray">{t("tokens", { prompt: number(said.prompt), count: said.tokens })}</Badge>
        )}
        {said.server && (
          <Badge color="gray" component={Link} to={`/fleet?id=${said.server}`} className="link">
            {said.server.slice(0, 14)}
          </Badge>
        )}
        {said.attempts != null && said.attempts > 1 && (
          <Badge color="yellow">{t("attempts", { count: said.attempts })}</Badge>
        )}
        {said.finish && said.finish !== "stop" && <Badge color="yellow">{said.finish}</Badge>}
        {said.state === "stopped" && <Badge color="gray">{t("stopped")}</Badge>}
        {said.requestId && said.state !== "running" && (
          <Anchor component={Link} to={`/requests?id=${said.requestId}`} fz="xs">
            {t("details")}
          </Anchor>
        )}
        {said.text && said.state !== "running" && <Copy value={said.text} />}
      </Group>
    </div>
  )
}
